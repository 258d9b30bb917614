# For each service of topology.yaml: its function, its log group, a mapping for each topic that it consumes, and a
# table when it keeps state. A service that is added there appears here.

locals {
  # Lambda reads partial responses in provisioned mode only. The functions are told: on demand they must raise instead.
  partial_responses = var.poller_mode == "provisioned"
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = local.services

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "service" {
  for_each = local.services

  function_name = "${var.name}-${each.key}"
  description   = "${each.key} of the shop"
  role          = aws_iam_role.function[each.key].arn
  runtime       = "python3.13"
  architectures = [var.lambda_architecture]
  handler       = "shopstream.runtime.entry.${each.key}"
  memory_size   = var.lambda_memory_mb
  timeout       = var.lambda_timeout_seconds

  s3_bucket         = aws_s3_object.zip[each.key].bucket
  s3_key            = aws_s3_object.zip[each.key].key
  s3_object_version = aws_s3_object.zip[each.key].version_id
  source_code_hash  = filebase64sha256(aws_s3_object.zip[each.key].source)

  environment {
    variables = merge(
      {
        KAFKA_BOOTSTRAP_SERVERS = local.bootstrap_servers
        KAFKA_USER_SECRET_ARN   = aws_secretsmanager_secret.user[each.key].arn
        KAFKA_CA_SECRET_ARN     = aws_secretsmanager_secret.ca.arn
        METRICS_NAMESPACE       = var.name
      },
      contains(keys(local.sources), each.key) ? { ORDERS_PER_INVOCATION = tostring(var.orders_per_invocation) } : {},
      contains(keys(local.consumers), each.key) ? { REPORT_BATCH_ITEM_FAILURES = tostring(local.partial_responses) } : {},
      contains(keys(local.state_tables), each.key) ? { STATE_TABLE = aws_dynamodb_table.state[each.key].name } : {},
    )
  }

  vpc_config {
    subnet_ids         = [for subnet in aws_subnet.private : subnet.id]
    security_group_ids = [aws_security_group.lambdas.id]
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.function[each.key].name
  }

  lifecycle {
    precondition {
      condition     = can(regex("^[A-Za-z0-9_]+$", each.key)) && length("${var.name}-${each.key}") <= 64
      error_message = "The service ${each.key} cannot be a function: its name becomes a Python module and, after the deployment's name, one of at most 64 letters, digits and underscores. Rename it in topology.yaml."
    }
  }

  # Lambda checks the role when it creates the function, and needs it to remove the network interfaces afterwards.
  depends_on = [
    aws_iam_role_policy.function,
    aws_iam_role_policy_attachment.logs,
  ]
}

# --- Kafka to functions --------------------------------------------------------------------------------------------

# Lambda's pollers begin as soon as a mapping is enabled; so it is created disabled, and enabled by another apply when
# the brokers have been verified.
#
# No mapping has a failure destination, a limit on retries or one on a record's age, in neither mode. A handler puts a
# record that nobody can use on dead_letters itself, and raises only for what a retry can mend: a broker or a table
# that is away. A limit would turn a long outage into lost orders, and a destination brings one along: with it, Lambda
# makes ten of infinite retries ("Configuring error handling controls for Kafka event sources" in Lambda's guide).
resource "aws_lambda_event_source_mapping" "topic" {
  for_each = local.mappings

  function_name     = aws_lambda_function.service[each.value.service].arn
  topics            = [each.value.topic]
  starting_position = "TRIM_HORIZON" # LATEST misses what is written while the pollers start
  batch_size        = 100
  enabled           = var.event_source_mappings_enabled

  # These belong to provisioned mode; on demand, the whole batch is retried until it succeeds.
  function_response_types       = local.partial_responses ? ["ReportBatchItemFailures"] : null
  maximum_retry_attempts        = var.poller_mode == "provisioned" ? -1 : null
  maximum_record_age_in_seconds = var.poller_mode == "provisioned" ? -1 : null

  dynamic "provisioned_poller_config" {
    for_each = var.poller_mode == "provisioned" ? [var.provisioned_pollers] : []

    content {
      minimum_pollers = provisioned_poller_config.value.minimum
      maximum_pollers = provisioned_poller_config.value.maximum
    }
  }

  self_managed_event_source {
    endpoints = { KAFKA_BOOTSTRAP_SERVERS = local.bootstrap_servers }
  }

  self_managed_kafka_event_source_config {
    consumer_group_id = each.key
  }

  source_access_configuration {
    type = "SASL_SCRAM_512_AUTH"
    uri  = aws_secretsmanager_secret.user[each.value.service].arn
  }

  source_access_configuration {
    type = "SERVER_ROOT_CA_CERTIFICATE"
    uri  = aws_secretsmanager_secret.ca.arn
  }

  dynamic "source_access_configuration" {
    for_each = aws_subnet.private

    content {
      type = "VPC_SUBNET"
      uri  = "subnet:${source_access_configuration.value.id}"
    }
  }

  source_access_configuration {
    type = "VPC_SECURITY_GROUP"
    uri  = "security_group:${aws_security_group.lambdas.id}"
  }

  # What the pollers need from the first moment on, and what must outlive them.
  depends_on = [
    aws_iam_role_policy.function,
    aws_secretsmanager_secret_version.user,
    aws_secretsmanager_secret_version.ca,
    aws_vpc_endpoint.interface,
    aws_vpc_security_group_egress_rule.lambdas_to_kafka,
    aws_vpc_security_group_egress_rule.lambdas_to_services,
    aws_vpc_security_group_ingress_rule.endpoints,
    aws_vpc_security_group_ingress_rule.kafka,
    aws_route.nat,
  ]
}

# --- Orders by the clock -------------------------------------------------------------------------------------------

# A rule, not an EventBridge Scheduler schedule. The generator derives its run from the event's id and time, so that an
# invocation that AWS repeats makes the same orders again. A rule's event carries both, the same in every delivery;
# Scheduler's <aws.scheduler.execution-id> is a new one for each attempt ("Adding context attributes in EventBridge
# Scheduler"). The event goes through as it is: no input, no transformer.
resource "aws_cloudwatch_event_rule" "schedule" {
  for_each = local.sources

  name                = "${var.name}-${each.key}"
  description         = "Starts ${each.key}"
  schedule_expression = var.schedule_expression
  state               = var.schedule_enabled ? "ENABLED" : "DISABLED"
}

resource "aws_cloudwatch_event_target" "schedule" {
  for_each = local.sources

  rule      = aws_cloudwatch_event_rule.schedule[each.key].name
  target_id = each.key
  arn       = aws_lambda_function.service[each.key].arn
}

resource "aws_lambda_permission" "schedule" {
  for_each = local.sources

  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.service[each.key].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule[each.key].arn
}

# --- State ---------------------------------------------------------------------------------------------------------

# The orders that wait for their other half. They expire; nothing needs a backup.
resource "aws_dynamodb_table" "state" {
  for_each = local.state_tables

  name         = "${var.name}-${each.value}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "order_id"

  attribute {
    name = "order_id"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}
