# What the project's own topology.yaml becomes, and that it starts at rest: nothing polls, nothing is scheduled.

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

run "at_rest" {
  assert {
    condition     = output.functions == { for service in keys(yamldecode(file("../../topology.yaml")).services) : service => "shopstream-${service}" }
    error_message = "There is not one function NAME-<service> for each service."
  }

  assert {
    condition = toset([for mapping in output.event_source_mappings : "${mapping.function} ${mapping.topic} ${mapping.group}"]) == toset(flatten([
      for name, service in yamldecode(file("../../topology.yaml")).services : [
        for topic in try(service.consumes, []) : "shopstream-${name} ${topic} ${name}.${topic}"
      ]
    ]))
    error_message = "There is not one mapping for each topic that a service consumes, with the group <service>.<topic>."
  }

  assert {
    condition = toset(keys(output.secret_arns)) == toset(concat(
      keys(yamldecode(file("../../topology.yaml")).services), keys(yamldecode(file("../../topology.yaml")).operators), ["kafka-ca"]
    ))
    error_message = "There is not one secret for each user, and one for the CA."
  }

  assert {
    condition     = output.state_tables == { shipping_handler = "shopstream-shipping_handler_state" }
    error_message = "The join's table is not named after its changelog."
  }

  assert {
    condition     = toset([for secret in aws_secretsmanager_secret.host : secret.name]) == toset([for account in ["broker", "zookeeper_quorum", "zookeeper_client", "control_center_web", "grafana_admin"] : "shopstream/hosts/${account}"]) && keys(output.host_secret_arns) == keys(aws_secretsmanager_secret.host)
    error_message = "The hosts' own accounts have other secrets than the scripts and Ansible look for."
  }

  assert {
    condition     = aws_secretsmanager_secret.user["auditor"].name == "shopstream/kafka/auditor" && aws_secretsmanager_secret.ca.name == "shopstream/kafka-ca"
    error_message = "The secrets have other names than the functions and scripts look for."
  }

  assert {
    condition     = alltrue([for secret in concat(values(aws_secretsmanager_secret.user), values(aws_secretsmanager_secret.host), [aws_secretsmanager_secret.ca]) : secret.recovery_window_in_days == 0])
    error_message = "A secret would block its name for days after a teardown."
  }

  assert {
    condition     = alltrue([for mapping in aws_lambda_event_source_mapping.topic : mapping.enabled == false])
    error_message = "A mapping would poll brokers that nobody has verified."
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["order_generator"].state == "DISABLED"
    error_message = "Orders would be made before anybody asked for them."
  }

  assert {
    condition = alltrue([for mapping in aws_lambda_event_source_mapping.topic : (
      length(mapping.destination_config) == 0 && length(mapping.provisioned_poller_config) == 0 && length(coalesce(mapping.function_response_types, [])) == 0
    )])
    error_message = "On demand, a mapping has no failure destination, no pollers of its own and no partial responses."
  }

  assert {
    condition     = aws_lambda_function.service["shipping_handler"].environment[0].variables["REPORT_BATCH_ITEM_FAILURES"] == "false"
    error_message = "On demand, a function would report failures that nobody reads: records would be lost."
  }

  assert {
    condition     = alltrue([for mapping in aws_lambda_event_source_mapping.topic : mapping.starting_position == "TRIM_HORIZON" && mapping.batch_size == 100])
    error_message = "A mapping would miss records that were written while it starts."
  }

  assert {
    condition = alltrue([for mapping in aws_lambda_event_source_mapping.topic : [
      for access in mapping.source_access_configuration : access.type if access.type != "VPC_SUBNET"
    ] == ["SASL_SCRAM_512_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "VPC_SECURITY_GROUP"] && length(mapping.source_access_configuration) == 6])
    error_message = "A mapping lacks credentials, the CA, its group or one of the private subnets."
  }

  assert {
    condition     = aws_s3_bucket.artifacts.bucket == "shopstream-artifacts-123456789012" && aws_s3_object.zip["order_generator"].key == "lambdas/order_generator.zip"
    error_message = "The zips are not where the scripts look for them."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.artifacts.block_public_acls, aws_s3_bucket_public_access_block.artifacts.block_public_policy,
      aws_s3_bucket_public_access_block.artifacts.ignore_public_acls, aws_s3_bucket_public_access_block.artifacts.restrict_public_buckets,
    ]) && aws_s3_bucket_versioning.artifacts.versioning_configuration[0].status == "Enabled"
    error_message = "The bucket is not private and versioned."
  }

  assert {
    condition = one([
      for statement in jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement : statement.Condition.Bool["aws:SecureTransport"]
      if statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "s3:*"
    ]) == "false"
    error_message = "The bucket may be read without TLS."
  }

  assert {
    condition     = length(aws_sns_topic.alarms) == 0 && length(aws_budgets_budget.monthly[0].notification) == 0 && length(aws_cloudwatch_metric_alarm.errors["order_generator"].alarm_actions) == 0
    error_message = "Somebody is notified whom nobody named."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.offset_lag["shipping_handler"].metric_name == "OffsetLag"
      && aws_cloudwatch_metric_alarm.offset_lag["shipping_handler"].dimensions == tomap({ FunctionName = "shopstream-shipping_handler" })
      && !contains(keys(aws_cloudwatch_metric_alarm.offset_lag), "order_generator")
      && aws_cloudwatch_metric_alarm.dead_letters["shipping_handler"].namespace == "shopstream"
    )
    error_message = "The alarms watch other metrics than Lambda and the functions report."
  }
}

run "at_work_with_provisioned_pollers" {
  variables {
    poller_mode                   = "provisioned"
    event_source_mappings_enabled = true
    schedule_enabled              = true
    provisioned_pollers           = { maximum = 6 }
    notification_email            = "ops@example.com"
  }

  assert {
    condition = alltrue([for mapping in aws_lambda_event_source_mapping.topic : (
      mapping.maximum_retry_attempts == -1 && mapping.maximum_record_age_in_seconds == -1 && length(mapping.destination_config) == 0
    )])
    error_message = "A limit or a failure destination would drop orders in a long outage."
  }

  assert {
    condition = alltrue([for mapping in aws_lambda_event_source_mapping.topic : (
      mapping.enabled && contains(mapping.function_response_types, "ReportBatchItemFailures")
      && mapping.provisioned_poller_config[0].minimum_pollers == 1 && mapping.provisioned_poller_config[0].maximum_pollers == 6
    )])
    error_message = "Provisioned mode is not what was asked for."
  }

  assert {
    condition     = aws_lambda_function.service["shipping_handler"].environment[0].variables["REPORT_BATCH_ITEM_FAILURES"] == "true"
    error_message = "The functions do not know that their partial responses are read."
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["order_generator"].state == "ENABLED" && aws_cloudwatch_event_target.schedule["order_generator"].input == null
    error_message = "The schedule is not on, or replaces the event whose id and time the generator needs."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.errors["order_generator"].alarm_actions == toset([aws_sns_topic.alarms[0].arn]) && aws_sns_topic_subscription.email[0].endpoint == "ops@example.com"
    error_message = "Alarms do not reach notification_email."
  }

  assert {
    condition     = toset([for notice in aws_budgets_budget.monthly[0].notification : notice.notification_type]) == toset(["ACTUAL", "FORECASTED"])
    error_message = "The budget warns nobody."
  }
}

run "without_a_budget" {
  command = plan

  variables {
    monthly_budget_usd = 0
  }

  assert {
    condition     = length(aws_budgets_budget.monthly) == 0
    error_message = "A budget was made that nobody asked for."
  }
}
