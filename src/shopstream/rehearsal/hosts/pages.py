"""The machines' web pages on this computer's loopback, while a program runs: what an SSH tunnel is to a deployment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.aws.ownership import ACCOUNTS
from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from shopstream.rehearsal.hosts.inventory import Inventory

# page: the inventory's group, the port, and the account that may look; "" for none
_PAGES = {
    "Grafana": ("monitoring", 3000, "grafana_admin"),
    "Prometheus": ("monitoring", 9090, ""),
    "Control Center": ("control_center", 9021, "control_center_web"),
}
_LOOPBACK = "127.0.0.1"
_TRIES = 100
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Page:
    """A web page of a machine.

    Attributes:
        name: For people.
        address: The machine's.
        port: The page's.
        user: Who logs in; "" when nobody needs to.
        secret: Where the password is, in what stands in for AWS.
    """

    name: str
    address: str
    port: int
    user: str = ""
    secret: str = ""


def pages_of(read: Inventory) -> tuple[Page, ...]:
    """The pages that the machines of an inventory have when the playbooks have been run.

    Raises:
        RehearsalError: They have none.
    """
    deployment = read.variables.get("deployment", "shopstream")
    found = tuple(
        Page(name, str(host.ansible_host), port, ACCOUNTS[account], f"{deployment}/hosts/{account}")
        if account
        else Page(name, str(host.ansible_host), port)
        for name, (group, port, account) in _PAGES.items()
        for host in read.hosts
        if group in host.groups
    )
    if not found:
        raise RehearsalError("no machine has web pages: there is none in the groups monitoring and control_center")
    return found


async def forward(
    pages: Sequence[Page], connect: Callable[[Page], socket.socket], told: Callable[[dict[Page, int]], None]
) -> None:
    """Lead a loopback port to each page, until cancelled.

    Args:
        pages: Where to.
        connect: Opens a connection to one; called in threads.
        told: Told each page's port here (its own, or the next one that is free), when all can be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for page in pages:
            server = await _listen(page, connect)
            stack.callback(server.close)
            ports[page] = server.sockets[0].getsockname()[1]
        told(ports)
        await asyncio.Event().wait()


async def _listen(page: Page, connect: Callable[[Page], socket.socket]) -> asyncio.Server:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A machine that does not answer, or is gone, ends this connection and no other.
        with contextlib.closing(writer), contextlib.suppress(OSError, RehearsalError):
            there = await asyncio.open_connection(sock=await asyncio.to_thread(connect, page))
            with contextlib.closing(there[1]):
                await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))

    last = page.port + _TRIES
    for port in range(page.port, last):
        try:
            return await asyncio.start_server(carry, _LOOPBACK, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise RehearsalError(f"no port from {page.port} to {last - 1} is free on {_LOOPBACK}")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, and then that no more will come."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
