"""Alarms, dashboards, budgets, private zones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.model import Found, Lister, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


def _alarms(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("cloudwatch")

    def tags(alarm: Any) -> Any:
        return client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"]).get("Tags")

    for key in ("MetricAlarms", "CompositeAlarms"):
        alarms = pages(client, "describe_alarms", key, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        yield from tagged(scope, "CloudWatch alarm", alarms, name=lambda each: each["AlarmName"], tags=tags)


def _dashboards(scope: Scope) -> Iterator[Found]:
    """Dashboards have no tags: ours is named as the deployment is."""
    for dashboard in pages(scope.aws.client("cloudwatch"), "list_dashboards", "DashboardEntries"):
        if dashboard["DashboardName"] == scope.deployment.name:
            yield Found("CloudWatch dashboard", dashboard["DashboardName"])


def _budgets(scope: Scope) -> Iterator[Found]:
    client, account = scope.aws.client("budgets"), scope.deployment.account

    def tags(budget: Any) -> Any:
        arn = f"arn:aws:budgets::{account}:budget/{budget['BudgetName']}"
        return client.list_tags_for_resource(ResourceARN=arn).get("ResourceTags")

    try:
        budgets = list(pages(client, "describe_budgets", "Budgets", AccountId=account))
    except ClientError as error:
        if code_of(error) == "NotFoundException":  # how AWS says that there is none
            return
        raise
    yield from tagged(scope, "budget", budgets, name=lambda each: each["BudgetName"], tags=tags)


def _zones(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("route53")

    def tags(zone: Any) -> Any:
        identity = zone["Id"].rpartition("/")[2]
        answer = client.list_tags_for_resource(ResourceType="hostedzone", ResourceId=identity)
        return answer["ResourceTagSet"].get("Tags")

    zones = pages(client, "list_hosted_zones", "HostedZones")
    yield from tagged(
        scope, "Route 53 zone", zones, name=lambda each: each["Id"], tags=tags, detail=lambda each: str(each["Name"])
    )


LISTERS = (
    Lister("CloudWatch alarm", "cloudwatch:alarm:", _alarms),
    Lister("CloudWatch dashboard", "cloudwatch:dashboard/", _dashboards),
    Lister("budget", "budgets:budget/", _budgets),
    Lister("Route 53 zone", "route53:hostedzone/", _zones),
)
