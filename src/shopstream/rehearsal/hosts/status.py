"""What `up` and `status` tell of the machines that stand in for EC2."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shopstream.rehearsal.hosts import network


@dataclass(frozen=True)
class Up:
    """What `up` did.

    Attributes:
        hosts: The names of the guests.
        already: Whether they were there before.
        seconds: How long it took.
        inventory: For Ansible.
        private_key: For SSH.
    """

    hosts: tuple[str, ...]
    already: bool
    seconds: float
    inventory: str
    private_key: str


@dataclass(frozen=True)
class HostStatus:
    """How a guest is.

    Attributes:
        name: Its name.
        state: "up", "booting", "frozen", "down" (cut, or shut down by itself) or "orphaned" (what boots it was
            killed, and a reboot would be its end: cut and start it).
        unplugged: Whether its cable is out.
        address: Where Ansible connects.
        private_ip: In the VPC.
        instance_type: What it stands in for.
        memory_used: In bytes, without cache that could be dropped at once.
        memory_cached: That cache.
        memory_limit: In bytes.
        oom_kills: Processes that the kernel killed for want of memory, since `up`.
        uptime: Since its last boot, in seconds; None when it is down.
    """

    name: str
    state: str
    unplugged: bool
    address: str
    private_ip: str
    instance_type: str
    memory_used: int
    memory_cached: int
    memory_limit: int
    oom_kills: int
    uptime: float | None


@dataclass(frozen=True)
class Status:
    """How the rehearsal is.

    Attributes:
        up: Whether an `up` was completed.
        directory: Its state.
        services: Whether the supplies' server (and what stands in for AWS) run.
        hosts: The guests.
        partitions: Who does not hear whom.
        leftovers: Without a completed `up`: what was found where nothing should be.
    """

    up: bool
    directory: str
    services: bool
    hosts: tuple[HostStatus, ...]
    partitions: tuple[network.Partition, ...]
    leftovers: dict[str, list[str]]

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
