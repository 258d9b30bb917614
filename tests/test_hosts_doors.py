"""The waiting for SSH: who answers is told, each on a line of its own, however many answer at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from shopstream.rehearsal.hosts import doors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextlib.contextmanager
def _answering(addresses: list[str], greeting: bytes) -> Iterator[int]:
    """A listener on each of the addresses, all on one port, that greets whoever connects."""
    first = socket.create_server((addresses[0], 0))
    port = first.getsockname()[1]
    listeners = [first, *(socket.create_server((address, port)) for address in addresses[1:])]
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        listener.settimeout(0.05)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(greeting)

    threads = [threading.Thread(target=serve, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    try:
        yield port
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for listener in listeners:
            listener.close()


def test_whoever_answers_is_told_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = [f"127.0.0.{number}" for number in range(11, 23)]
    with _answering(addresses, b"SSH-2.0-x\r\n") as port:
        monkeypatch.setattr(doors, "_PORT", port)
        assert doors.main(["10", *addresses]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(addresses)


def test_who_does_not_speak_ssh_in_time_is_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _answering(["127.0.0.11"], b"HTTP/1.1 400\r\n") as port:
        monkeypatch.setattr(doors, "_PORT", port)
        assert doors.main(["0.3", "127.0.0.11", "127.0.0.12"]) == 1
    assert capsys.readouterr().out == ""
