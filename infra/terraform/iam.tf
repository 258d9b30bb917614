# One role for each function: a service reads its own user's password and its own table, and nobody else's.
# The pollers of a function's mappings use the same role.

locals {
  # Lambda and its pollers make and remove network interfaces in the VPC. EC2's Describe actions know no narrower
  # resource than "*", and Lambda refuses a function whose role may not do the others ("Giving Lambda functions access
  # to resources in an Amazon VPC", "Configuring Lambda execution role permissions" for self-managed Kafka).
  network_statement = {
    Sid    = "NetworkInterfaces"
    Effect = "Allow"
    Action = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
      "ec2:UnassignPrivateIpAddresses",
    ]
    Resource = "*"
  }

  # AWSLambdaBasicExecutionRole allows it, and with it a last log line would make the log group again after a
  # teardown. The groups are Terraform's.
  log_groups_statement = {
    Sid      = "LogGroupsAreTerraforms"
    Effect   = "Deny"
    Action   = "logs:CreateLogGroup"
    Resource = "*"
  }
}

resource "aws_iam_role" "function" {
  for_each = local.services

  name        = "${var.name}-${each.key}"
  description = "Execution role of the function ${var.name}-${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "logs" {
  for_each = local.services

  role       = aws_iam_role.function[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "function" {
  for_each = local.services

  name = "service"
  role = aws_iam_role.function[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        local.network_statement,
        local.log_groups_statement,
        {
          Sid      = "Credentials"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = [aws_secretsmanager_secret.user[each.key].arn, aws_secretsmanager_secret.ca.arn]
        },
      ],
      [
        for service, table in aws_dynamodb_table.state : {
          Sid      = "State"
          Effect   = "Allow"
          Action   = "dynamodb:UpdateItem" # it records and reads what was there in one call
          Resource = table.arn
        } if service == each.key
      ],
    )
  })
}
