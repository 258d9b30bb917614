"""Queues, topics, rules and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.model import Found, Lister, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


def _queues(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("sqs")

    def tags(url: str) -> Any:
        return client.list_queue_tags(QueueUrl=url).get("Tags")

    # Without MaxResults SQS answers with the first thousand and no way to the rest.
    queues = pages(client, "list_queues", "QueueUrls", MaxResults=1000)
    yield from tagged(scope, "SQS queue", queues, name=str, tags=tags)


def _topics(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("sns")

    def tags(topic: Any) -> Any:
        return client.list_tags_for_resource(ResourceArn=topic["TopicArn"]).get("Tags")

    topics = pages(client, "list_topics", "Topics")
    yield from tagged(scope, "SNS topic", topics, name=lambda each: each["TopicArn"], tags=tags)


def _rules(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("events")

    def tags(rule: Any) -> Any:
        return client.list_tags_for_resource(ResourceARN=rule["Arn"]).get("Tags")

    for bus in pages(client, "list_event_buses", "EventBuses"):
        rules = pages(client, "list_rules", "Rules", EventBusName=bus["Name"])
        yield from tagged(scope, "EventBridge rule", rules, name=lambda each: each["Name"], tags=tags)


def _schedule_groups(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("scheduler")

    def tags(group: Any) -> Any:
        return client.list_tags_for_resource(ResourceArn=group["Arn"]).get("Tags")

    # The default group is AWS's own and takes no tags.
    groups = (each for each in pages(client, "list_schedule_groups", "ScheduleGroups") if each["Name"] != "default")
    yield from tagged(scope, "schedule group", groups, name=lambda each: each["Name"], tags=tags)


def _schedules(scope: Scope) -> Iterator[Found]:
    """Schedules have no tags: ours call one of our functions."""
    client, deployment = scope.aws.client("scheduler"), scope.deployment
    ours = {
        f":lambda:{deployment.region}:{deployment.account}:function:{function}" for function in deployment.functions
    }
    for schedule in pages(client, "list_schedules", "Schedules"):
        target = str(schedule.get("Target", {}).get("Arn", ""))
        if any(target.endswith(each) for each in ours):
            yield Found("schedule", f"{schedule.get('GroupName', 'default')}/{schedule['Name']}", f"calls {target}")


LISTERS = (
    Lister("SQS queue", "sqs:", _queues),
    Lister("SNS topic", "sns:", _topics),
    Lister("EventBridge rule", "events:rule/", _rules),
    Lister("schedule group", "scheduler:schedule-group/", _schedule_groups),
    Lister("schedule", "scheduler:schedule/", _schedules),
)
