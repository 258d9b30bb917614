"""Functions, their layers and mappings, and the log groups that they write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.model import Found, Lister, Scope
from shopstream.aws.mappings import mappings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment


def _functions(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("lambda")

    def tags(function: Any) -> Any:
        return client.list_tags(Resource=function["FunctionArn"]).get("Tags")

    functions = pages(client, "list_functions", "Functions")
    yield from tagged(scope, "Lambda function", functions, name=lambda each: each["FunctionName"], tags=tags)


def owned_functions(aws: Aws, deployment: Deployment) -> list[str]:
    """The names of the deployment's functions."""
    return [found.identity for found in _functions(Scope(aws, deployment, frozenset()))]


def owned_log_groups(aws: Aws, deployment: Deployment) -> list[str]:
    """The names of the deployment's log groups."""
    return [found.identity for found in _log_groups(Scope(aws, deployment, frozenset()))]


def _layers(scope: Scope) -> Iterator[Found]:
    """Layers have no tags. Ours would be named for one of the functions."""
    names = {scope.deployment.name, f"{scope.deployment.name}-dependencies", *scope.deployment.functions}
    for layer in pages(scope.aws.client("lambda"), "list_layers", "Layers"):
        if layer["LayerName"] in names:
            yield Found("Lambda layer", layer["LayerName"])


def _mappings(scope: Scope) -> Iterator[Found]:
    for mapping in mappings_of(scope.aws, scope.deployment):
        yield Found("event source mapping", mapping.uuid, f"{mapping.function}, {mapping.state}")


def _log_groups(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("logs")
    # An account can have thousands of log groups, and asking for the tags of each would be throttled. Ours have the
    # deployment's name in theirs.
    groups = (
        group
        for group in pages(client, "describe_log_groups", "logGroups")
        if scope.deployment.name in group["logGroupName"]
    )

    def tags(group: Any) -> Any:
        return client.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*")).get("tags")

    # A function that still writes when its group is deleted makes it anew, without tags.
    yield from tagged(
        scope, "log group", groups, name=lambda each: each["logGroupName"], tags=tags, names=scope.deployment.log_groups
    )


LISTERS = (
    Lister("Lambda function", "lambda:function:", _functions),
    Lister("Lambda layer", "lambda:layer:", _layers),
    Lister("event source mapping", "lambda:event-source-mapping:", _mappings),
    Lister("log group", "logs:log-group:", _log_groups),
)
