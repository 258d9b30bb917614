"""moto's WSGI application behind an HTTP/1.1 server on loopback that keeps connections open.

What moto cannot answer is logged as such and, unlike with moto's own server, answered with 501: the AWS SDKs retry a
500 for minutes, which looks like a hang.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from shopstream.rehearsal.moto.function_settings import code_at
from shopstream.rehearsal.unsupported import line

if TYPE_CHECKING:
    from flask import Flask

_XML_SERVICES = {"autoscaling", "cloudformation", "elasticloadbalancing", "iam", "rds", "route53", "s3", "sns", "sts"}


class Handler(MotoRequestHandler):
    """One connection. werkzeug's own handler closes it after each request, and writes head and body apart."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one piece

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").strip().lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        self.environ = environ = self.make_environ()
        # The whole body, whatever the application reads of it: the next request begins behind it.
        if environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read()
        else:
            body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        status, headers, content = answer(self.server.app, environ, body)
        self._send(status, headers, content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line for each request, without colours."""
        del size
        target = self.headers.get("X-Amz-Target", "")
        _log(" ".join(filter(None, (self.command, self.path, target, str(int(code))))))

    def _send(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        code, _, message = status.partition(" ")
        self.send_response(int(code), message)
        length = str(len(content))
        bare = self.command == "HEAD" or code in {"204", "304"}
        for key, value in headers:
            if key.lower() == "content-length":
                if bare:
                    length = value
            elif key.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(key, value)
        if code != "204":
            self.send_header("Content-Length", length)
        self.end_headers()
        if not bare:
            self.wfile.write(content)
        self.wfile.flush()


def answer(app: Any, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """What the application answers, or an AWS error where it has no answer.

    Args:
        app: A WSGI application.
        environ: The request.
        body: Its body.
    """
    environ["wsgi.input"] = io.BytesIO(body)
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        del exc_info
        started[:] = [status, headers]

    try:
        code = code_at(environ["PATH_INFO"])
        if code is not None:
            return "200 OK", [("Content-Type", "application/zip")], code
        parts = app(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the reason
        _log(traceback.format_exc())
        return _refusal(environ, body, f"{type(error).__name__}: {error}")
    status, headers = started
    if status.startswith("404") and b"<title>404 Not Found</title>" in content:
        return _refusal(environ, body, "moto has no such address")
    if status.startswith("5"):
        _log(line(*_asked(environ, body), f"HTTP {status}"))
    return status, headers, content


def _refusal(environ: dict[str, Any], body: bytes, why: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Log a call that has no answer, and refuse it in a way that no SDK tries again."""
    status, code = "501 Not Implemented", "NotSupportedByStandIn"
    service, operation = _asked(environ, body)
    _log(line(service, operation, why))
    message = f"The stand-in for AWS cannot answer {service}.{operation}."
    headers = [("x-amzn-ErrorType", code)]
    if service == "ec2":
        xml = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    elif service == "s3":
        xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    elif service in _XML_SERVICES:
        xml = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    else:
        text = json.dumps({"__type": code, "message": message})
        return status, [*headers, ("Content-Type", "application/json")], text.encode()
    return status, [*headers, ("Content-Type", "text/xml")], xml.encode()


def _asked(environ: dict[str, Any], body: bytes) -> tuple[str, str]:
    """The service as in the request's signature, and AWS's name of the operation where it can be told."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
    service = scope[3] if len(scope) > 3 else "unknown"  # key/date/region/service/aws4_request
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return service, target.rpartition(".")[2]
    form = parse_qs((body or environ.get("QUERY_STRING", "").encode()).decode("latin-1"))
    if form.get("Action"):
        return service, form["Action"][0]
    try:
        operation, _ = get_service_router(service).match(Request(environ))
    except Exception:  # noqa: BLE001 - then the address has to do
        return service, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    return service, str(operation.name)


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")  # in one piece: many threads write


def server_at(host: str, port: int) -> BaseWSGIServer:
    """A server that listens and does not serve yet.

    Args:
        host: Where to listen.
        port: 0 for any that is free.
    """

    def create(service: Any) -> Flask:
        app = create_backend_app(service)
        app.config["PROPAGATE_EXCEPTIONS"] = True
        return app

    return make_server(host, port, DomainDispatcherApplication(create), threaded=True, request_handler=Handler)
