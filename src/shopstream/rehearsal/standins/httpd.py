"""Part of the stand-ins: HTTP with basic authentication and JSON, from the standard library alone."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Reply:
    """An answer; `body` is sent as it is when it is bytes, else as JSON."""

    status: int
    body: object = None
    kind: str = "application/json"


def authorized(header: str | None, accounts: dict[str, str]) -> bool:
    """Whether an Authorization header names one of the accounts (user: password) with its password."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return False
    return user in accounts and hmac.compare_digest(accounts[user].encode(), password.encode())


def server(
    address: tuple[str, int],
    answer: Callable[[str], Reply],
    accounts: Callable[[str], dict[str, str] | None],
    realm: str,
) -> ThreadingHTTPServer:
    """A server that listens.

    Args:
        address: Where.
        answer: Given the path with its query, says what to answer to a GET.
        accounts: Given the path, who may ask (user: password); None for everybody.
        realm: What the browser's question for a password shows.
    """

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            """Answer."""
            required = accounts(self.path)
            refused = required is not None and not authorized(self.headers.get("Authorization"), required)
            reply = Reply(401, {"message": "Unauthorized"}) if refused else answer(self.path)
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            if refused:
                self.send_header("WWW-Authenticate", f'Basic realm="{realm}"')
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: the journal is for what matters."""

    return ThreadingHTTPServer(address, Handler)
