# Alarms, a dashboard and a budget. Without notification_email alarms only change their colour in CloudWatch.

locals {
  alarm_actions = [for topic in aws_sns_topic.alarms : topic.arn]
  function_name = { for service in keys(local.services) : service => "${var.name}-${service}" }
}

# Not encrypted with the AWS-managed key: CloudWatch alarms cannot publish to a topic that is. Messages name alarms.
resource "aws_sns_topic" "alarms" {
  count = var.notification_email == null ? 0 : 1

  name = "${var.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  count = var.notification_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = var.notification_email
}

# --- Alarms --------------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.services

  alarm_name          = "${local.function_name[each.key]}-errors"
  alarm_description   = "${each.key} raised: its batch is being retried. See /aws/lambda/${local.function_name[each.key]}."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = local.function_name[each.key] }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

# How many records the pollers are behind. A function's mappings report under its name; the maximum is the worst of
# them. No data is no alarm: disabled mappings report nothing. Nor does it say that all is well: whether pollers that
# reach no broker report anything is not documented; the mapping's LastProcessingResult tells.
resource "aws_cloudwatch_metric_alarm" "offset_lag" {
  for_each = local.consumers

  alarm_name          = "${local.function_name[each.key]}-offset-lag"
  alarm_description   = "${each.key} has been more than ${var.offset_lag_alarm_records} records behind for 5 minutes: a batch that is retried, or too much to do."
  namespace           = "AWS/Lambda"
  metric_name         = "OffsetLag"
  dimensions          = { FunctionName = local.function_name[each.key] }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.offset_lag_alarm_records
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

# Reported by the functions themselves, in the embedded metric format.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.consumers

  alarm_name          = "${local.function_name[each.key]}-dead-letters"
  alarm_description   = "${each.key} put records on ${local.topology.dead_letters}: it could not use them. Their headers tell why."
  namespace           = var.name
  metric_name         = "DeadLetters"
  dimensions          = { service = each.key }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

# --- Dashboard -----------------------------------------------------------------------------------------------------

locals {
  # Two columns of charts; each shows one metric of all services that have it.
  charts = [
    { title = "Invocations", namespace = "AWS/Lambda", metric = "Invocations", stat = "Sum", services = keys(local.services) },
    { title = "Errors", namespace = "AWS/Lambda", metric = "Errors", stat = "Sum", services = keys(local.services) },
    { title = "Records behind", namespace = "AWS/Lambda", metric = "OffsetLag", stat = "Maximum", services = keys(local.consumers) },
    { title = "Dead letters", namespace = var.name, metric = "DeadLetters", stat = "Sum", services = keys(local.consumers) },
    { title = "Events written", namespace = var.name, metric = "EventsWritten", stat = "Sum", services = keys(local.services) },
    { title = "Records to be delivered again", namespace = var.name, metric = "RecordsFailed", stat = "Sum", services = keys(local.consumers) },
    { title = "Duration, 95th percentile", namespace = "AWS/Lambda", metric = "Duration", stat = "p95", services = keys(local.services) },
    { title = "Throttles", namespace = "AWS/Lambda", metric = "Throttles", stat = "Sum", services = keys(local.services) },
  ]
}

resource "aws_cloudwatch_dashboard" "shop" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for number, chart in local.charts : {
        type   = "metric"
        x      = 12 * (number % 2)
        y      = 6 * floor(number / 2)
        width  = 12
        height = 6
        properties = {
          title  = chart.title
          region = var.region
          view   = "timeSeries"
          stat   = chart.stat
          period = 60
          metrics = [
            for service in chart.services : chart.namespace == "AWS/Lambda"
            ? [chart.namespace, chart.metric, "FunctionName", local.function_name[service], { label = service }]
            : [chart.namespace, chart.metric, "service", service, { label = service }]
          ]
        }
      }
    ]
  })
}

# --- Budget --------------------------------------------------------------------------------------------------------

# Of the whole account: a budget that filters by tag sees nothing until the tag has been activated for cost allocation
# in the billing console, and a limit that never warns is worse than one that warns early.
resource "aws_budgets_budget" "monthly" {
  count = var.monthly_budget_usd > 0 ? 1 : 0

  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"

  dynamic "notification" {
    for_each = var.notification_email == null ? [] : ["ACTUAL", "FORECASTED"]

    content {
      notification_type          = notification.value
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value == "ACTUAL" ? 80 : 100
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = [var.notification_email]
    }
  }
}
