"""Booted Debian machines that stand in for EC2 instances: one guest for each host of an Ansible inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shopstream.rehearsal.hosts.hosts import Hosts
    from shopstream.rehearsal.hosts.status import HostStatus, Status, Up

__all__ = ["HostStatus", "Hosts", "Status", "Up"]


def __getattr__(name: str) -> Any:
    # The modules below this one run as small programs, too, which shall not load all of it.
    if name in __all__:
        from shopstream.rehearsal.hosts import hosts

        return getattr(hosts, name)
    raise AttributeError(name)
