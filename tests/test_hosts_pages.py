"""Web pages of the machines on this computer's loopback: which, at which port, and that what is said arrives."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from shopstream.aws.inventory import parse, render
from shopstream.cli.main import cli
from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts import Hosts, inventory
from shopstream.rehearsal.hosts.pages import Page, forward, pages_of

SAMPLE = Path(__file__).parent.parent / "src" / "shopstream" / "rehearsal" / "hosts" / "sample-outputs.json"
MUCH = bytes(range(256)) * 4096  # more than buffers hold


@pytest.fixture
def echo():
    """A server that says what it hears, until it hears no more: its page."""

    def serve():
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                heard = file.read()
                if heard == b"end":
                    return
                connection.sendall(heard)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        page = Page("echo", *listener.getsockname())
        yield page
        with connect(page) as last:
            last.sendall(b"end")
        thread.join()


def connect(page):
    return socket.create_connection((page.address, page.port), timeout=10)


async def ask(port, text):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def while_forwarded(pages, asking, connecting=connect):
    """What `asking` returns, called with each page's port while they are forwarded."""

    async def main():
        told = asyncio.get_running_loop().create_future()
        at_work = asyncio.create_task(forward(pages, connecting, told.set_result))
        try:
            return await asyncio.wait_for(asking(await asyncio.wait_for(told, 10)), 20)
        finally:
            at_work.cancel()
            await asyncio.gather(at_work, return_exceptions=True)

    return asyncio.run(main())


def test_what_is_said_arrives_and_what_is_answered_comes_back(echo):
    async def asking(ports):
        assert echo.port < ports[echo] < echo.port + 100  # its own is taken, by itself
        return [await ask(ports[echo], text) for text in (MUCH, b"", b"short")]

    assert while_forwarded([echo], asking) == [MUCH, b"", b"short"]


def test_a_port_that_is_free_is_kept():
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    page = Page("nobody", "127.0.0.1", port)

    async def asking(ports):
        return ports

    assert while_forwarded([page], asking) == {page: port}


@pytest.mark.parametrize("error", [ConnectionRefusedError("closed"), RehearsalError("there is no network namespace")])
def test_a_machine_that_does_not_answer_ends_its_connection_and_no_other(echo, error):
    silent = replace(echo, name="silent")

    def connecting(page):
        if page == silent:
            raise error
        return connect(page)

    async def asking(ports):
        return [await ask(ports[page], b"hello") for page in (silent, echo, silent, echo)]

    assert while_forwarded([echo, silent], asking, connecting) == [b"", b"hello", b"", b"hello"]


def test_the_pages_are_those_of_the_deployments_groups_with_who_may_look():
    text = render(parse(SAMPLE.read_text(encoding="utf-8"), "sample"))
    assert pages_of(inventory.parse(text)) == (
        Page("Grafana", "198.51.100.41", 3000, "admin", "shopstream/hosts/grafana_admin"),
        Page("Prometheus", "198.51.100.41", 9090),
        Page("Control Center", "198.51.100.31", 9021, "admin", "shopstream/hosts/control_center_web"),
    )
    with pytest.raises(RehearsalError, match="no machine has web pages"):
        pages_of(inventory.parse("[kafka]\none private_ip=10.20.0.21 instance_type=t2.micro\n"))


def test_the_command_tells_addresses_and_logins_and_ctrl_c_is_its_end(monkeypatch):
    def forwarding(_, told):
        told({Page("Grafana", "198.51.100.41", 3000, "admin", "x/hosts/grafana_admin"): 3001})
        raise KeyboardInterrupt

    monkeypatch.setattr(Hosts, "forward_pages", forwarding)
    done = CliRunner().invoke(cli, ["rehearse", "pages"], standalone_mode=False)
    assert (done.return_value, done.exception) == (0, None)
    assert "http://localhost:3001  user admin, password in the secret x/hosts/grafana_admin" in done.output


def test_without_machines_it_says_how_to_get_them(tmp_path):
    with pytest.raises(RehearsalError, match="hosts up"):
        Hosts(tmp_path).forward_pages(lambda _: None)
