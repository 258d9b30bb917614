"""The description of a security group rule.

AWS: "SecurityGroupRule" of the EC2 API reference: a rule has one, whatever it refers to.

moto: shows it for address ranges only, not for rules that refer to a group or a prefix list.

Here: for all of them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from moto.ec2.models.security_groups import SecurityGroupRule

from shopstream.rehearsal.moto.patching import around, replaced

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Teach moto's rules."""
    around(SecurityGroupRule, "__init__", _init)
    replaced(SecurityGroupRule, "description", property(_description))


def _init(original: Callable[..., None], rule: Any, *arguments: Any, **more: Any) -> None:
    original(rule, *arguments, **more)
    prefix_list = inspect.signature(original).bind(rule, *arguments, **more).arguments.get("prefix_list_id") or {}
    rule.told = rule.source_group.get("Description") or prefix_list.get("Description")


def _description(rule: Any) -> str | None:
    # A change writes it here, whatever the rule refers to.
    description: str | None = rule.ip_range.get("Description") or rule.told
    return description
