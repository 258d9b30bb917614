"""The Lambda Runtime API (version 2018-06-01) for one execution environment.

What the runtime inside the environment sees: "Using the Lambda runtime API for custom runtimes" in AWS's developer
guide. One invocation at a time, as in Lambda. An answer's head and body leave in one piece: in two, Nagle's algorithm
and delayed acknowledgements would add 40 ms to each invocation.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_RESPONSE = 6 * 1024 * 1024 + 100
"""Bytes. Lambda's quota for a synchronous answer is 6,291,556."""
_PREFIX = "/2018-06-01/runtime/"
_LARGEST_HEAD = 2 << 20  # an error's X-Ray cause is a header of up to 1 MiB
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
_REASONS |= {410: "Gone", 413: "Payload Too Large"}

Kind = Literal["ready", "response", "error", "init_error"]


@dataclass(frozen=True)
class Request:
    """An invocation as the runtime gets it.

    Attributes:
        request_id: Its id.
        payload: The event, as JSON.
        deadline_ms: When it must be done, in milliseconds since 1970.
        function_arn: The function.
        trace_id: The X-Ray trace header.
    """

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str


@dataclass(frozen=True)
class Answer:
    """What the runtime said.

    Attributes:
        kind: `response` or `error` to the invocation, or `init_error`.
        body: Its body.
        error_type: What its header says, for errors.
    """

    kind: Kind
    body: bytes = b""
    error_type: str = ""


@dataclass
class _State:
    """What the connections and the host share. Everything is guarded by `changed`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    request: Request | None = None  # waiting to be fetched
    current: str | None = None  # the id of the one that runs
    answer: Answer | None = None
    asking: int = 0  # connections that wait in `next`
    closed: bool = False

    @property
    def init_failed(self) -> bool:
        return self.answer is not None and self.answer.kind == "init_error"


class RuntimeApi:
    """The server for one environment, on loopback."""

    def __init__(self) -> None:
        self._state = _State()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self._connections: set[socket.socket] = set()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        """What AWS_LAMBDA_RUNTIME_API shall say."""
        self._acceptor = threading.Thread(target=self._accept, name="lambda-runtime-api", daemon=True)
        self._acceptor.start()

    def invoke(self, request: Request) -> None:
        """Hand an invocation to the runtime as soon as it asks for one."""
        state = self._state
        with state.changed:
            state.answer = None
            state.current = request.request_id
            state.request = request
            state.changed.notify_all()

    def wait_until_asked(self, timeout: float) -> bool:
        """Wait until the runtime asks for the next invocation, or reports that its init failed."""
        state = self._state
        with state.changed:
            state.changed.wait_for(lambda: state.asking or state.init_failed or state.closed, timeout)
            return bool(state.asking)

    def wait_for_answer(self, timeout: float) -> Answer | None:
        """Wait until the runtime has answered; None when it did not in time, or the server was closed."""
        state = self._state
        with state.changed:
            state.changed.wait_for(lambda: state.answer or state.closed, timeout)
            return state.answer

    @property
    def answer(self) -> Answer | None:
        """The latest answer, if there is one."""
        return self._state.answer

    def interrupt(self) -> None:
        """Let nobody wait any longer: the environment is gone."""
        with self._state.changed:
            self._state.closed = True
            self._state.changed.notify_all()

    def close(self) -> None:
        """Stop serving."""
        self.interrupt()
        # Closing a listener does not wake a thread that waits in accept(); shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="lambda-runtime", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError, ValueError):
            while (call := _read(stream)) is not None:
                method, path, headers, body = call
                status, extra, answer = self._answer(method, path, headers, body)
                connection.sendall(_message(status, extra, answer))
        self._connections.discard(connection)

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        if body is None:
            self._post(Answer("error", _too_large(), "Function.ResponseSizeTooLarge"))
            return 413, {}, _problem("RequestEntityTooLarge", f"a response has at most {LARGEST_RESPONSE} bytes")
        match method, path.removeprefix(_PREFIX).split("/") if path.startswith(_PREFIX) else []:
            case "GET", ["invocation", "next"]:
                return self._next()
            case "POST", ["invocation", request_id, "response"]:
                return self._finish(request_id, Answer("response", body))
            case "POST", ["invocation", request_id, "error"]:
                kind = headers.get("lambda-runtime-function-error-type", "")
                return self._finish(request_id, Answer("error", body, kind))
            case "POST", ["init", "error"]:
                self._post(Answer("init_error", body, headers.get("lambda-runtime-function-error-type", "")))
                return 202, {}, b'{"status":"OK"}'
        return 404, {}, _problem("NotFound", f"{method} {path} is not part of the Runtime API")

    def _next(self) -> tuple[int, Mapping[str, str], bytes]:
        state = self._state
        with state.changed:
            state.asking += 1
            state.current = state.request.request_id if state.request else None
            state.changed.notify_all()
            state.changed.wait_for(lambda: state.request or state.closed)
            state.asking -= 1
            request, state.request = state.request, None
        if request is None:
            return 410, {}, _problem("Gone", "the environment shuts down")
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request.request_id,
            "Lambda-Runtime-Deadline-Ms": str(request.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": request.function_arn,
            "Lambda-Runtime-Trace-Id": request.trace_id,
        }
        return 200, headers, request.payload

    def _finish(self, request_id: str, answer: Answer) -> tuple[int, Mapping[str, str], bytes]:
        with self._state.changed:
            if self._state.current != request_id or self._state.answer is not None:
                return 400, {}, _problem("InvalidRequestID", "no invocation with this id is waiting for an answer")
            self._state.answer = answer
            self._state.changed.notify_all()
        return 202, {}, b'{"status":"OK"}'

    def _post(self, answer: Answer) -> None:
        with self._state.changed:
            self._state.answer = answer
            self._state.changed.notify_all()


def _read(stream: BinaryIO) -> tuple[str, str, dict[str, str], bytes | None] | None:
    """One call from a connection; None at its end. The body is None when it is too large."""
    line = stream.readline(_LARGEST_HEAD)
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := stream.readline(_LARGEST_HEAD)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return method, path, headers, _chunked(stream)
    length = int(headers.get("content-length", "0"))
    if length <= LARGEST_RESPONSE:
        return method, path, headers, stream.read(length)
    while length > 0 and (skipped := stream.read(min(length, 1 << 16))):  # a client may not listen before it has sent
        length -= len(skipped)
    return method, path, headers, None


def _chunked(stream: BinaryIO) -> bytes | None:
    body = bytearray()
    while (size := int(stream.readline(1024).partition(b";")[0], 16)) > 0:
        chunk = stream.read(size)
        if len(body) <= LARGEST_RESPONSE:
            body += chunk
        stream.readline(8)
    while stream.readline(_LARGEST_HEAD).strip():
        pass  # trailers
    return bytes(body) if len(body) <= LARGEST_RESPONSE else None


def _message(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _problem(kind: str, text: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": text}).encode()


def _too_large() -> bytes:
    return _problem(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes).",
    )
