"""Loopback ports: which are free, and who holds those that are not."""

from __future__ import annotations

import errno
import socket
import time
from itertools import islice
from typing import TYPE_CHECKING

import psutil

from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Collection

LAST = 65535
_POLL_S = 0.005


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: a connection in TIME_WAIT is no bar
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def becomes_free(port: int, timeout: float) -> bool:
    """Whether a port is free, or is so soon: the system takes a moment to free those of a process that was killed.

    Args:
        port: The port.
        timeout: How long to wait for it, in seconds.
    """
    deadline = time.monotonic() + timeout
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def answers(port: int) -> bool:
    """Whether someone accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pick(count: int, start: int, taken: Collection[int]) -> list[int]:
    """The first free ports from `start` on that are not in `taken`.

    Raises:
        ClusterError: There are not so many.
    """
    found = list(islice((port for port in range(start, LAST + 1) if port not in taken and is_free(port)), count))
    if len(found) < count:
        raise ClusterError(f"no {count} free ports from {start} on: choose another with --port")
    return found


def holder(port: int) -> str:
    """Who listens on a port, for people to read."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # macOS tells only root
        pass
    return "another program"
