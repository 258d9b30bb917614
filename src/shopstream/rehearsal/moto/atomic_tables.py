"""A write to a DynamoDB item is one step.

AWS: "Condition expressions" and "Working with items and attributes" of the DynamoDB developer guide: conditional writes
and update expressions are atomic; of two writers at once, one sees what the other has written.

moto: its server answers each request in a thread of its own, and looks at the condition, evaluates and writes without
a lock: two conditional writes can both succeed, and an update can be lost.

Here: one DynamoDB request at a time. (The threads of one process do not compute at the same time anyway.)
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from moto.dynamodb.responses import DynamoHandler

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable

_ONE_AT_A_TIME = threading.Lock()


def apply() -> None:
    """Teach moto's tables."""
    around(DynamoHandler, "call_action", _alone)


def _alone(original: Callable[..., Any], handler: Any) -> Any:
    with _ONE_AT_A_TIME:
        return original(handler)
