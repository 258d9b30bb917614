"""AWS's managed policies, read once.

moto: parses its file of some 1,600 policies for each partition of AWS, and again with every reset, in two seconds.

Here: they are made once for each partition, and every account begins with copies.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from moto.iam.models import IAMBackend

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Speed up new accounts and resets."""
    made: dict[tuple[str, str], list[Any]] = {}

    def policies(original: Callable[..., list[Any]], backend: Any) -> list[Any]:
        key = (backend.account_id, backend.region_name)
        if key not in made:
            made[key] = original(backend)
        return [_copied(policy) for policy in made[key]]

    around(IAMBackend, "_init_aws_policies", policies)


def _copied(policy: Any) -> Any:
    # How often it is attached is counted in it.
    twin = copy.copy(policy)
    twin.tags = dict(policy.tags)
    twin.versions = list(policy.versions)
    return twin
