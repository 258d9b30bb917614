"""How the cluster is: what runs, since when, and what it takes of the machine."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import psutil

from shopstream.cluster import ports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shopstream.cluster.broker import Broker

State = Literal["up", "starting", "died", "down"]


@dataclass(frozen=True)
class BrokerStatus:
    """One broker.

    Attributes:
        id: Its number, from 1.
        state: `up` when it accepts clients; `starting` when it runs and does not yet; `died` when it ended by itself.
        pid: Its process, if it runs.
        client_port: Where clients connect.
        internal_port: Where the other brokers connect.
        controller_port: Where the other controllers connect.
        uptime_s: How long it has been running, in seconds.
        memory_bytes: What it holds of the machine's memory.
        data_bytes: What its data take on disk.
        diagnosis: Why it died, as far as can be told.
    """

    id: int
    state: State
    pid: int | None
    client_port: int
    internal_port: int
    controller_port: int
    uptime_s: float | None
    memory_bytes: int | None
    data_bytes: int
    diagnosis: str | None


@dataclass(frozen=True)
class Status:
    """The cluster.

    Attributes:
        home: The state directory.
        bootstrap_servers: Where clients connect; empty when there is no cluster.
        brokers: Each broker.
    """

    home: str
    bootstrap_servers: str
    brokers: tuple[BrokerStatus, ...]

    @property
    def up(self) -> bool:
        """Whether every broker accepts clients."""
        return bool(self.brokers) and all(broker.state == "up" for broker in self.brokers)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"up": self.up, **asdict(self)}


def inspect(brokers: Sequence[Broker]) -> tuple[BrokerStatus, ...]:
    """Look at each broker's process, port and data."""
    return tuple(_inspect(broker) for broker in brokers)


def _inspect(broker: Broker) -> BrokerStatus:
    pid, uptime, memory = None, None, None
    state: State = "died" if broker.died else "down"
    if process := broker.process():
        state = "up" if ports.answers(broker.node.client_port) else "starting"
        try:
            pid, uptime = process.pid, max(0.0, time.time() - process.create_time())
            memory = process.memory_info().rss
        except psutil.NoSuchProcess:
            state = "died"
    return BrokerStatus(
        id=broker.node.id,
        state=state,
        pid=pid,
        client_port=broker.node.client_port,
        internal_port=broker.node.internal_port,
        controller_port=broker.node.controller_port,
        uptime_s=uptime,
        memory_bytes=memory,
        data_bytes=disk_usage(broker.data),
        diagnosis=_diagnose(broker) if state == "died" else None,
    )


def _diagnose(broker: Broker) -> str:
    if broker.disk_was_full:
        free = shutil.disk_usage(broker.directory).free >> 20
        return f"the disk was full; now {free} MiB are free: make room, then `shopstream up`"
    words = broker.last_words(lines=3)
    return f"it was killed, or ended by itself; `shopstream up` starts it again. {broker.log} says\n{words}"


def disk_usage(directory: Path) -> int:
    """What a directory takes on disk, in bytes: Kafka's index files look larger than they are."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512  # POSIX: in units of 512 bytes, whatever the file system's blocks are
        except OSError:  # deleted in the meantime
            continue
    return total
