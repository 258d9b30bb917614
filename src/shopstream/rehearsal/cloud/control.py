"""A Unix socket to invoke functions, to ask how things are, and to let things go wrong.

One request a connection: a line of JSON there, a line of JSON back, `{"ok": true, …}` or `{"ok": false, "error": …}`.
A socket in the file system is reached from every network namespace, so the operator needs no way to the functions'.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError, ShopstreamError, UsageError
from shopstream.lambdas.model import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shopstream.rehearsal.cloud.cloud import Cloud

SOCKET = "cloud.sock"
_LONGEST = 16 * 1024 * 1024


class Control:
    """Serves a cloud's socket. A context manager.

    Args:
        cloud: What is asked.
        state: The directory of the socket.
    """

    def __init__(self, cloud: Cloud, state: Path) -> None:
        self._cloud = cloud
        self._path = state / SOCKET
        self._path.unlink(missing_ok=True)
        control = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline(_LONGEST)
                if line:
                    self.wfile.write(json.dumps(control.answer(line)).encode() + b"\n")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        with _short(self._path) as path:
            self._server = Server(path, Handler)
        self._path.chmod(0o600)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to a request.

        Args:
            line: `{"do": "status"}`; `{"do": "invoke", "function": …, "payload": …, "wait": false}`;
                `{"do": "faults", "function": …, "redeliver": 0.5, "fail": …, "crash": …, "seed": …}`;
                `{"do": "fire", "rule": …}`; `{"do": "restart-pollers"}`.
        """
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise UsageError("a request is a JSON object")
            return {"ok": True, **self._do(request)}
        except ShopstreamError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, TypeError, KeyError) as error:
            return {"ok": False, "error": f"the request is not understood: {error!r}"}

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.pop("do", None):
            case "status":
                return self._cloud.status()
            case "invoke":
                payload = json.dumps(request.get("payload", {})).encode()
                if not request.get("wait", True):
                    return {"request_id": self._cloud.invoke_later(str(request["function"]), payload)}
                result = self._cloud.invoke(str(request["function"]), payload)
                return {
                    "request_id": result.request_id,
                    "error": result.error,
                    "payload": result.payload.decode(errors="replace"),
                }
            case "faults":
                function = request.pop("function", None)
                self._cloud.change_faults(Faults(**request), function)
            case "fire":
                self._cloud.fire(str(request["rule"]))
            case "restart-pollers":
                self._cloud.restart_pollers()
            case other:
                raise UsageError(f"{other!r} cannot be done: use status, invoke, faults, fire or restart-pollers")
        return {}


def ask(state: Path, do: str, *, timeout: float = 120.0, **about: Any) -> dict[str, Any]:
    """Ask the cloud that runs with a state directory.

    Args:
        state: The directory.
        do: What: see `Control.answer`.
        timeout: Seconds for the answer.
        about: What belongs to it.

    Raises:
        RehearsalError: Nothing answers there, or the request was refused.
    """
    try:
        with _short(state / SOCKET) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps({"do": do, **about}).encode() + b"\n")
            with connection.makefile("rb") as file:
                answer: dict[str, Any] = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise RehearsalError(
            f"nothing answers at {state / SOCKET} ({error}): start `python -m shopstream.rehearsal.cloud` there"
        ) from error
    if not answer.pop("ok"):
        raise RehearsalError(str(answer["error"]))
    return answer


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same place under a name that fits into a socket's address, which has room for 107 bytes."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
