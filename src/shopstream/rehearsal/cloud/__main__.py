"""`python -m shopstream.rehearsal.cloud --endpoint URL --state DIR`: Lambda and EventBridge until SIGTERM.

It runs in the functions' network namespace. It tells in lines of JSON on standard output what it does; `control.ask`
talks to it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream.errors import ShopstreamError
from shopstream.lambdas.destination import AwsDestinations
from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.runtime import LocalRuntime, PreparedRuntime
from shopstream.lambdas.secrets import SecretsManager
from shopstream.rehearsal.cloud.account import BotoAccount
from shopstream.rehearsal.cloud.cloud import Cloud
from shopstream.rehearsal.cloud.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.lambdas.runtime import Runtime


def main() -> int:
    """Run what an account holds until told to stop."""
    arguments = _arguments()
    arguments.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    ended = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ended.set())
    tell = Teller()
    account = BotoAccount(arguments.endpoint, arguments.region)
    of_functions = BotoAccount(arguments.function_endpoint or arguments.endpoint, arguments.region)
    runtime: Runtime = (
        PreparedRuntime(arguments.python)
        if arguments.python
        else LocalRuntime(
            arguments.runtime_cache or arguments.state / "cache", os.environ, lambda text: tell("runtime", text=text)
        )
    )

    def host(listener: Callable[[str, str], None]) -> LambdaHost:
        return LambdaHost(
            [],
            [],
            secrets=SecretsManager(lambda: of_functions.client("secretsmanager")),
            runtime=runtime,
            home=arguments.state,
            tell=lambda text: tell("mapping-trouble", text=text),
            environment=environment_of(arguments.function_endpoint or arguments.endpoint),
            destinations=AwsDestinations(of_functions.client, lambda text: tell("destination", text=text)),
            log_listener=listener,
        )

    try:
        cloud = Cloud(
            account, host, home=arguments.state, tell=tell, poll=arguments.poll, retry_after=arguments.retry_after
        )
        with cloud, Control(cloud, arguments.state):
            tell("started", endpoint=arguments.endpoint, pid=os.getpid())
            ended.wait()
            tell("stopping")
    except ShopstreamError as error:
        tell("failed", text=str(error))
        return error.exit_code
    finally:
        account.close()
        of_functions.close()
    tell("stopped")
    return 0


class Teller:
    """Writes what happens as lines of JSON on standard output. Called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, what: str, **about: Any) -> None:
        """Write one line: the time, the kind, and what belongs to it."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "what": what, **about})
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def environment_of(endpoint: str) -> dict[str, str]:
    """What every function gets beside its own variables: the way to what stands in for AWS, and keys for it.

    Args:
        endpoint: Its address, as the functions reach it.
    """
    unproxied = ",".join(dict.fromkeys([urllib.parse.urlsplit(endpoint).hostname or "", "127.0.0.1", "localhost"]))
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": unproxied,
        "no_proxy": unproxied,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shopstream.rehearsal.cloud", description="Lambda and EventBridge of a rehearsal"
    )
    parser.add_argument("--endpoint", required=True, help="the AWS API whose functions, mappings and rules are run")
    parser.add_argument(
        "--function-endpoint", help="the AWS API as functions and pollers reach it from the VPC [the same]"
    )
    parser.add_argument("--state", type=Path, required=True, help="a directory for code, logs and the control socket")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--poll", type=float, default=1.0, help="seconds between two looks at the API [1]")
    parser.add_argument("--python", type=Path, help="an interpreter that has the Lambda runtime's packages")
    parser.add_argument("--runtime-cache", type=Path, help="where such an interpreter is made, or was [STATE/cache]")
    parser.add_argument(
        "--retry-after",
        type=lambda text: tuple(float(each) for each in text.split(",") if each),
        default=(60.0, 120.0),
        help="seconds until each retry of a failed asynchronous invocation [60,120]",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
