# Services come from topology_file and nowhere else, each with the least rights; one that is added there needs no edit
# of a .tf file.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  admin_cidr           = "203.0.113.7/32"
  ssh_public_key       = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5c2tleXRoYXRub2JvZHlob2xkcw test"
  kafka_ca_certificate = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----"
  zips_dir             = "tests/fixtures/zips"
  kafka_passwords      = {}
  host_passwords       = {}
}

run "a_shop_of_its_own" {
  variables {
    name          = "other"
    topology_file = "tests/fixtures/topology.yaml"
  }

  override_resource {
    target = aws_secretsmanager_secret.user["greeter"]
    values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:greeter" }
  }

  override_resource {
    target = aws_secretsmanager_secret.ca
    values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ca" }
  }

  assert {
    condition     = output.functions == { bookkeeper = "other-bookkeeper", greeter = "other-greeter", till = "other-till" }
    error_message = "The functions do not come from topology_file."
  }

  assert {
    condition     = [for mapping in output.event_source_mappings : mapping.group] == ["bookkeeper.refunds", "bookkeeper.sales", "greeter.sales"]
    error_message = "The mappings do not come from topology_file."
  }

  assert {
    condition     = alltrue([for group, mapping in aws_lambda_event_source_mapping.topic : mapping.self_managed_kafka_event_source_config[0].consumer_group_id == group && length(mapping.topics) == 1])
    error_message = "A mapping has another group than its key, or more than one topic."
  }

  assert {
    condition     = aws_dynamodb_table.state["bookkeeper"].name == "other-ledger" && length(aws_dynamodb_table.state) == 1
    error_message = "The tables do not come from topology_file."
  }

  assert {
    condition     = keys(aws_cloudwatch_event_rule.schedule) == ["till"]
    error_message = "The schedule does not belong to the service with a progress topic."
  }

  assert {
    condition = aws_lambda_function.service["till"].environment[0].variables == tomap({
      KAFKA_BOOTSTRAP_SERVERS = output.bootstrap_servers
      KAFKA_USER_SECRET_ARN   = aws_secretsmanager_secret.user["till"].arn
      KAFKA_CA_SECRET_ARN     = aws_secretsmanager_secret.ca.arn
      METRICS_NAMESPACE       = "other"
      ORDERS_PER_INVOCATION   = "10"
    })
    error_message = "The source's environment is not what the handler reads."
  }

  assert {
    condition     = aws_lambda_function.service["bookkeeper"].environment[0].variables["STATE_TABLE"] == "other-ledger" && !contains(keys(aws_lambda_function.service["greeter"].environment[0].variables), "STATE_TABLE")
    error_message = "STATE_TABLE belongs to the services with state, and to no other."
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.function["bookkeeper"].policy, "dynamodb:UpdateItem") && !strcontains(aws_iam_role_policy.function["greeter"].policy, "dynamodb:")
    error_message = "Only a service with state may use a table."
  }

  assert {
    condition     = aws_lambda_function.service["greeter"].handler == "shopstream.runtime.entry.greeter" && aws_lambda_function.service["greeter"].runtime == "python3.13"
    error_message = "The handler is not where the zip has it."
  }

  assert {
    condition     = aws_cloudwatch_log_group.function["greeter"].name == "/aws/lambda/other-greeter" && aws_cloudwatch_log_group.function["greeter"].retention_in_days == 14
    error_message = "The log group is not the function's own, or keeps its lines for ever."
  }

  assert {
    condition = { for service, policy in aws_iam_role_policy.function : service => one([
      for statement in jsondecode(policy.policy).Statement : join(" ", statement.Resource) if statement.Sid == "Credentials"
      ]) } == {
      bookkeeper = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mock arn:aws:secretsmanager:us-east-1:123456789012:secret:ca"
      greeter    = "arn:aws:secretsmanager:us-east-1:123456789012:secret:greeter arn:aws:secretsmanager:us-east-1:123456789012:secret:ca"
      till       = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mock arn:aws:secretsmanager:us-east-1:123456789012:secret:ca"
    }
    error_message = "A function may read another secret than its own user's and the CA's."
  }
  assert {
    condition = alltrue([for attachment in aws_iam_role_policy_attachment.logs :
      attachment.policy_arn == "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    ])
    error_message = "A role lacks AWSLambdaBasicExecutionRole."
  }

  assert {
    condition = alltrue([for policy in aws_iam_role_policy.function : contains(
      [for statement in jsondecode(policy.policy).Statement : statement.Action if statement.Effect == "Deny"], "logs:CreateLogGroup"
    )])
    error_message = "A last log line would make a log group again after the teardown."
  }

  assert {
    condition = alltrue([for policy in aws_iam_role_policy.function : alltrue([
      for statement in jsondecode(policy.policy).Statement : statement.Resource != "*" if statement.Effect == "Allow" && !strcontains(jsonencode(statement.Action), "ec2:")
    ])])
    error_message = "A role may do more than EC2's network interfaces everywhere."
  }
}

run "one_service_more" {
  variables {
    name          = "other"
    topology_file = "tests/fixtures/topology_added.yaml"
  }

  assert {
    condition = alltrue([for resources in [
      aws_lambda_function.service, aws_cloudwatch_log_group.function, aws_iam_role.function, aws_iam_role_policy.function,
      aws_iam_role_policy_attachment.logs, aws_s3_object.zip, aws_cloudwatch_metric_alarm.errors,
    ] : length(resources) == 4 && contains(keys(resources), "loyalty_desk")])
    error_message = "The added service lacks its function, log group, role, policy, zip or alarm."
  }

  assert {
    condition     = contains(keys(aws_lambda_event_source_mapping.topic), "loyalty_desk.sales") && contains(keys(aws_lambda_event_source_mapping.topic), "loyalty_desk.refunds")
    error_message = "The added service is not fed."
  }

  assert {
    condition     = aws_secretsmanager_secret.user["loyalty_desk"].name == "other/kafka/loyalty_desk" && output.state_tables["loyalty_desk"] == "other-points"
    error_message = "The added service lacks its secret or its table."
  }

  assert {
    condition     = strcontains(aws_cloudwatch_dashboard.shop.dashboard_body, "other-loyalty_desk")
    error_message = "The added service is not on the dashboard."
  }
}

run "a_missing_zip_is_named" {
  command = plan

  variables {
    topology_file = "tests/fixtures/topology_added.yaml"
    zips_dir      = "tests/fixtures/too_few_zips"
  }

  expect_failures = [aws_s3_object.zip]
}
