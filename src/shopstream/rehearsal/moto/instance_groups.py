"""Security groups of an EC2 instance are those of its primary network interface.

AWS: "Change the security groups for your Amazon EC2 instance" of the EC2 user guide: they belong to the interfaces;
what an instance shows are its primary interface's.

moto: keeps a list of its own for the instance. Groups given through an interface in RunInstances are missing there, and
a change at the interface does not show.

Here: the instance has no list of its own once it has an interface.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instances import Instance

from shopstream.rehearsal.moto.patching import replaced


def apply() -> None:
    """Teach moto's instances."""
    replaced(Instance, "security_groups", property(_groups, _set_groups))


def _primary(instance: Any) -> Any:
    return instance.__dict__.get("nics", {}).get(0)


def _groups(instance: Any) -> list[Any]:
    interface = _primary(instance)
    if interface is None:
        return list(instance.__dict__.get("given_groups", []))
    return list({group.id: group for group in interface._group_set}.values())  # noqa: SLF001 - moto's own


def _set_groups(instance: Any, groups: list[Any]) -> None:
    interface = _primary(instance)
    if interface is None:
        instance.given_groups = groups
    else:
        interface._group_set = list(groups)  # noqa: SLF001
