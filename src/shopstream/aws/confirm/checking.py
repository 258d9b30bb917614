"""All checks, one after the other. An error of one is a line of its own, and the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from shopstream.aws.confirm import functions, hosts, network, storage
from shopstream.aws.confirm.model import Check, Expected, Line
from shopstream.aws.leftovers.listing import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.aws.account import Aws

CHECKS: tuple[tuple[str, Callable[[Check], Iterator[Line]]], ...] = (
    ("bucket", storage.bucket),
    ("network", network.routing),
    ("security groups", network.groups),
    ("roles", functions.roles),
    ("instances", hosts.instances),
    ("secrets", storage.secrets),
    ("tables", storage.tables),
    ("functions", functions.functions),
    ("log groups", functions.log_groups),
    ("mappings", functions.mappings),
)


def confirm(aws: Aws, expected: Expected) -> list[Line]:
    """Look at everything that was deployed. Changes nothing, and asks for no secret's value."""
    found = network.look(aws, expected.deployment)
    lines = []
    for name, check in CHECKS:
        try:
            # One by one: what has been looked at before an error stays in the list.
            for line in check(Check(aws, expected, found)):
                lines.append(line)  # noqa: PERF402
        except (ClientError, BotoCoreError) as error:
            lines.append(Line(name, False, f"cannot be asked: {reason(error)}", "an answer"))
    return lines
