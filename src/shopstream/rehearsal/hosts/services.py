"""What the operator runs beside the guests: the supplies' server, and what stands in for AWS with its secrets.

`python -m shopstream.rehearsal.hosts.services --state DIR --www DIR --bind ADDRESS [--region REGION
[--deployment NAME]]`, run in the namespace. With a region something stands in for AWS, with a deployment it has that
one's secrets. It writes operator.json when all of it answers, and ends at SIGTERM or with the supplies' server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 80
FUNCTIONS_PORT = 5001
"""Where functions and their pollers find what stands in for AWS."""
CONTROL_PORT = 5002
"""The same for what is no part of the VPC: Lambda itself."""

_ANSWER_WITHIN = 20.0


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="the operator's services of a rehearsal")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--www", type=Path, required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--deployment", default="")
    parser.add_argument("--region", default="")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_supplies(arguments.www, arguments.bind))
        environment = {}
        if arguments.region:
            environment = stack.enter_context(_aws(arguments))
        state = State(arguments.state)
        write_private(state.operator, json.dumps({"environment": environment}, indent=2) + "\n")
        server.wait()
        raise RehearsalError(f"the supplies' server ended with {server.returncode}")


@contextlib.contextmanager
def _supplies(www: Path, bind: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "shopstream.rehearsal.supplies.server"]
    with subprocess.Popen([*command, "--root", str(www), "--bind", bind, "--port", str(PORT)]) as server:
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            deadline = time.monotonic() + _ANSWER_WITHIN
            while True:
                try:
                    opener.open(f"http://{bind}:{PORT}/", timeout=2).close()
                    break
                except urllib.error.HTTPError:
                    break  # an answer, if not a page
                except OSError as error:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RehearsalError(f"the supplies' server does not answer: {error}") from error
                    time.sleep(0.05)
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def _aws(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    from shopstream.rehearsal.aws import AwsStandIn

    also = [(arguments.bind, port) for port in (FUNCTIONS_PORT, CONTROL_PORT)]
    with AwsStandIn(arguments.state / "aws.log", region=arguments.region, also=also) as stand_in:
        environment = stand_in.environment()
        os.environ.update(environment)
        if arguments.deployment:
            _seed(arguments.deployment, arguments.region)
        yield environment


def _seed(deployment: str, region: str) -> None:
    import boto3

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.aws.seeding import seed
    from shopstream.rehearsal.aws import ACCOUNT_ID
    from shopstream.topology import load

    owner = Deployment.of(load(), name=deployment, account=ACCOUNT_ID, region=region)
    with Aws(boto3.session.Session(region_name=region), region) as aws:
        seed(aws, owner, datetime.now(UTC))


if __name__ == "__main__":
    main()
