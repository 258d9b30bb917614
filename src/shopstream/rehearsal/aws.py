"""What stands in for AWS's API on this machine: moto's server and our own shim over it, in a child process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from shopstream.errors import AwsError
from shopstream.rehearsal.clients import client_of
from shopstream.rehearsal.unsupported import unsupported_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"

_LOOPBACK = "127.0.0.1"
_START_WITHIN = 60.0  # seconds; about one on an idle machine
_STOP_WITHIN = 10.0  # seconds
_ANSWER_WITHIN = 60.0  # seconds

# moto's strict switches: without them it accepts any instance type, image and key pair. AWS's managed policies are
# there only on demand.
_SWITCHES = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
}


class AwsStandIn:
    """An account of its own, empty at first, that lives as long as this object (and never longer than this process).

    Args:
        log: Where the server's log goes; the file is written anew by each start.
        port: Where it listens on loopback; 0 for any port that is free.
        region: The region that its clients are made for. The server knows all of them.
        also: More addresses and ports where it listens.
    """

    def __init__(self, log: Path, *, port: int = 0, region: str = REGION, also: Iterable[tuple[str, int]] = ()) -> None:
        self.log = log
        self._also = tuple(also)
        self.region = region
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._endpoint = ""
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def endpoint(self) -> str:
        """Its address, for example "http://127.0.0.1:5000".

        Raises:
            AwsError: It has not been started.
        """
        if not self._endpoint:
            raise AwsError("the stand-in for AWS is not running: call start() first")
        return self._endpoint

    @property
    def pid(self) -> int:
        """The process id of the server. It leads a session of its own."""
        if self._child is None:
            raise AwsError("the stand-in for AWS is not running: call start() first")
        return self._child.pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            AwsError: It did not come up. The text ends with the last words of its log.
        """
        if self._child is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "shopstream.rehearsal.moto_server", "--port", str(self._port)]
        for address, port in self._also:
            command += ["--also", f"{address}:{port}"]
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # its end tells the child that this process is gone
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=_for_the_server(os.environ),
            )
        try:
            hello = self._hello(self._child, time.monotonic() + _START_WITHIN)
            self._endpoint = f"http://{_LOOPBACK}:{hello['port']}"
            self._post("/moto-api/config", {"lambda": {"use_docker": False}})
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, and close the clients that came from here. Nothing of the account is kept."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._endpoint = ""
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            child.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to talk to this stand-in, and to nothing else, as if it were AWS.

        Laid over an environment that names a profile (AWS_PROFILE), a session token, or an endpoint of one service,
        it is not enough: `apart` takes those out.
        """
        unproxied = ",".join(
            dict.fromkeys(
                each
                for name in ("NO_PROXY", "no_proxy")
                for each in [*os.environ.get(name, "").split(","), _LOOPBACK, "localhost"]
                if each
            )
        )
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A profile on this machine must neither be used nor disturb.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": unproxied,
            "no_proxy": unproxied,
        }

    def apart(self, environ: Mapping[str, str]) -> dict[str, str]:
        """A whole environment for a program that shall talk to this stand-in.

        Args:
            environ: The environment that it would have otherwise. What it says about AWS is left out.
        """
        return {**{key: value for key, value in environ.items() if not key.startswith("AWS_")}, **self.environment()}

    def client(self, service: str) -> Any:
        """A boto3 client of this stand-in, whatever the environment says. It is kept, and closed by `stop`.

        Args:
            service: As boto3 calls it, for example "lambda".
        """
        if service not in self._clients:
            self._clients[service] = client_of(service, self.endpoint, self.region)
        return self._clients[service]

    def reset(self) -> None:
        """Empty the account. Ports, configuration and log stay.

        Raises:
            AwsError: The server does not answer.
        """
        self._post("/moto-api/reset", None)

    def unsupported_calls(self) -> list[str]:
        """The calls that the server could not answer as AWS would: unknown to it, or ended by an error of its own.

        Each is "<service>.<Operation>: <why>", once, in the order of their first appearance since the start.

        Raises:
            AwsError: Nobody can know, for there is no log.
        """
        try:
            return unsupported_in(self.log.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError as error:
            raise AwsError(f"{self.log} is not there: it was deleted, or start() was never called") from error

    def _hello(self, child: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        assert child.stdout is not None  # noqa: S101 - a pipe was asked for
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise AwsError(
                        f"the stand-in for AWS did not answer within {_START_WITHIN:.0f} s{self._last_words()}"
                    )
                part = os.read(child.stdout.fileno(), 4096)
                if not part:
                    raise AwsError(
                        f"the stand-in for AWS ended at its start (exit code {child.wait()}): is `moto[server]` "
                        f"installed (`pip install shopstream[aws]`)?{self._last_words()}"
                    )
                said += part
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        return f"\nThe end of {self.log}:\n" + "\n".join(lines) if lines else f" ({self.log} is empty)"

    def _post(self, path: str, body: Any) -> None:
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.endpoint + path,
            data=json.dumps(body).encode() if body is not None else b"",
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_ANSWER_WITHIN) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise AwsError(f"the stand-in for AWS refused {path}: {error}{self._last_words()}") from error
        except OSError as error:
            raise AwsError(
                f"the stand-in for AWS at {self.endpoint} does not answer {path}: {error}{self._last_words()}"
            ) from error


def _for_the_server(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in environ.items() if not key.startswith(("AWS_", "MOTO_"))}
    return {**kept, **_SWITCHES}
