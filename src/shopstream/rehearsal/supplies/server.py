"""The HTTP server of the supplies: files below one directory, whole or in ranges, to many at a time.

    python -m shopstream.rehearsal.supplies.server --root DIRECTORY --bind ADDRESS --port PORT

It prints a line once it listens.
"""

from __future__ import annotations

import argparse
import functools
import html
import os
import signal
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from types import FrameType


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "supplies"
    disable_nagle_algorithm = True
    timeout = 120

    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Send a file, or a directory's list of links (pip reads it)."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what `do_GET` would, without the body."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = find(self.root, self.path)
        if path is None:
            self._text(HTTPStatus.NOT_FOUND, "no such supply\n", "text/plain", body=body)
        elif path.is_dir():
            links = "".join(
                f'<a href="{quote(entry.name)}">{html.escape(entry.name)}</a><br>\n' for entry in sorted(path.iterdir())
            )
            self._text(HTTPStatus.OK, f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n", "text/html", body=body)
        else:
            self._file(path, body=body)

    def _text(self, status: HTTPStatus, text: str, kind: str, *, body: bool) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _file(self, path: Path, *, body: bool) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = resume_at(self.headers.get("Range"), size)
            if start is None:
                start = 0
                self.send_response(HTTPStatus.OK)
            else:
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(size - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", self.date_time_string(int(os.fstat(file.fileno()).st_mtime)))
            self.end_headers()
            self.wfile.flush()
            if body:
                # Not os.sendfile: a socket with a time-out is not a blocking one.
                self.connection.sendfile(file, start, size - start)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only what went wrong is worth a line."""
        status = int(code) if str(code).isdigit() else 0
        if status >= HTTPStatus.BAD_REQUEST:
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    """A thread for each connection; eight guests may ask at once."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A guest that goes away in the middle is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def find(root: Path, target: str) -> Path | None:
    """The file or directory that a request names, or None. Links that lie in the tree are followed."""
    path = unquote(urlsplit(target).path)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in path:
        return None
    found = root.joinpath(*parts)
    return found if found.is_file() or found.is_dir() else None


def resume_at(header: str | None, size: int) -> int | None:
    """Where a `Range: bytes=<start>-` begins; None for anything else, which gets the whole file."""
    unit, _, rest = (header or "").partition("=")
    start, dash, end = rest.partition("-")
    if unit != "bytes" or not dash or end or not start.isdecimal() or int(start) >= size:
        return None
    return int(start)


def serve(root: Path, address: str, port: int) -> Server:
    """A server that listens; `serve_forever` is the caller's."""
    return Server((address, port), functools.partial(Handler, root))


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="Serves the supplies of the rehearsal.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--port", type=int, default=80)
    arguments = parser.parse_args()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    with serve(arguments.root, arguments.bind, arguments.port) as server:
        print(f"serving {arguments.root} on {arguments.bind}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
