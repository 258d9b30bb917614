"""`shopstream lambda`: Lambda functions behind a local event source mapping of self-managed Kafka."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shopstream.cli.common import examples, local_home, say
from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.lambdas.config import LambdaFile
    from shopstream.lambdas.destination import AwsDestinations
    from shopstream.lambdas.host import LambdaHost
    from shopstream.lambdas.model import Faults
    from shopstream.lambdas.secrets import Secrets
    from shopstream.topology import Topology

_HELP = {"help_option_names": ["-h", "--help"]}
_FILE = click.Path(path_type=Path)
_CLUSTER = click.option(
    "--cluster",
    type=_FILE,
    metavar="PROPERTIES",
    help="For the shop: client properties of another cluster, the services' files beside it [the local cluster].",
)
_ZIPS = click.option(
    "--zips",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For the shop: run these zips as they are [built from the checkout].",
)
_TICK = 0.2  # seconds


@click.group(
    "lambda",
    context_settings=_HELP,
    epilog=examples("shopstream lambda run", "shopstream lambda invoke order_generator --event event.json"),
)
def lambdas() -> None:
    """Run Lambda functions on this machine, fed from a self-managed Kafka as AWS's event source mapping does it.

    The very zips that AWS would get run in processes of their own, with AWS's own runtime client on CPython 3.13
    (x86_64 Linux). Without a CONFIG it is the shop, on the local cluster. With one it is any Python function on any
    Kafka: docs/local-lambda.md tells how.
    """


@lambdas.command(
    "run",
    context_settings=_HELP,
    epilog=examples("shopstream lambda run", "shopstream lambda run functions.yaml --faults redeliver=1,fail=0.1"),
)
@click.argument("config", type=_FILE, required=False)
@click.option(
    "--faults", metavar="KIND=SHARE,…", help="`redeliver`, `fail` or `crash` for a share (0 to 1) of batches."
)
@click.option("--no-freeze", is_flag=True, help="Let the functions' processes run on between invocations.")
@_CLUSTER
@_ZIPS
def run(*, config: Path | None, faults: str | None, no_freeze: bool, cluster: Path | None, zips: Path | None) -> int:
    """Poll Kafka and invoke the functions until Ctrl-C.

    The functions' logs go to standard output, what happens to the mappings to standard error. CONFIG is a YAML file
    with functions and their mappings.
    """
    from shopstream.cli.on_lambda import parse_faults

    shares, restart = parse_faults(faults)
    if restart:
        raise UsageError("--faults: restart belongs to `shopstream run --on lambda`")
    with _host(config, cluster, zips, faults=shares, freeze=not no_freeze, poll=True) as host:
        host.start()
        _tell(f"polling {_count(len(host.counts()), 'mapping')}; Ctrl-C ends it")
        try:
            announced = False
            while True:
                if not announced and host.ready:
                    announced = True
                    _tell("every partition has a poller")
                time.sleep(_TICK)
        except KeyboardInterrupt:
            _tell("\nfinishing the batches at hand; Ctrl-C again ends them at once")
            host.stop()
            for each in host.counts().values():
                _tell(
                    f"{each.topic} → {each.function}: {each.delivered:,} records in {each.batches:,} batches, "
                    f"{each.failures:,} failed invocations, {each.discarded:,} records given up"
                )
    return 0


@lambdas.command(
    "invoke",
    context_settings=_HELP,
    epilog=examples(
        "echo '{\"orders\": 3}' | shopstream lambda invoke order_generator --event -",
        "shopstream lambda invoke my-function --config functions.yaml --event event.json",
    ),
)
@click.argument("function")
@click.option("--event", "event_file", type=_FILE, metavar="FILE", help="The event, as JSON; - reads it here [{}].")
@click.option("--config", type=_FILE, metavar="CONFIG", help="Where the function is declared [the shop's own].")
@_CLUSTER
@_ZIPS
def invoke(
    *, function: str, event_file: Path | None, config: Path | None, cluster: Path | None, zips: Path | None
) -> int:
    """Invoke one function once, and print its answer.

    FUNCTION is the name in CONFIG; for the shop, a service such as order_generator. Its log goes to standard error.
    Exit code 1 if the function failed.
    """
    payload = _event(event_file)
    with _host(config, cluster, zips, only=function) as host:
        host.start()
        (name,) = host.processes()
        answer = host.invoke(name, payload)
    say(answer.payload.decode(errors="replace"))
    if answer.error:
        click.echo(f"error: {answer.error}", err=True)
    return 1 if answer.error else 0


@contextmanager
def _host(
    config: Path | None,
    cluster: Path | None,
    zips: Path | None,
    *,
    only: str | None = None,
    poll: bool = False,
    faults: Faults | None = None,
    freeze: bool = True,
) -> Iterator[LambdaHost]:
    """A host that has not been started. It ends with this, and so does what stands in for AWS."""
    from shopstream.lambdas.host import LambdaHost
    from shopstream.lambdas.runtime import LocalRuntime, find_python

    if config is not None and (cluster or zips):
        raise UsageError("--cluster and --zips are for the shop: with a CONFIG, name both there")
    home = local_home()
    find_python(os.environ)  # without it nothing has to be started; the host makes the runtime when all else is right
    runtime = LocalRuntime(home / "cache" / "lambda", os.environ, _tell)
    with _declared(config, cluster, zips, home, poll=poll) as (declared, secrets, environment):
        functions = [each for each in declared.functions if only is None or _named(each.name, only, config)]
        if not functions:
            known = ", ".join(each.name for each in declared.functions)
            raise UsageError(f"there is no function {only!r}; there are: {known}")
        host = LambdaHost(
            functions,
            declared.mappings if poll else [],
            secrets=secrets,
            runtime=runtime,
            home=home / "lambda",
            tell=_tell,
            faults=faults,
            environment=environment,
            freeze=freeze,
            destinations=_destinations() if config is not None and poll else None,
            log_listener=_log if poll else lambda _, line: _tell(line),
        )
        try:
            yield host
        finally:
            host.stop()


@contextmanager
def _declared(
    config: Path | None, cluster: Path | None, zips: Path | None, home: Path, *, poll: bool
) -> Iterator[tuple[LambdaFile, Secrets, dict[str, str]]]:
    """Functions and mappings, where their secrets are, and what the functions' environment gets besides its own."""
    from shopstream.lambdas.config import load
    from shopstream.lambdas.secrets import AnySecrets, JsonFiles, SecretsManager

    if config is not None:
        # Functions and secrets may use AWS, or what stands in for it, as this command's own environment says.
        passed_on = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL")}
        secrets = AnySecrets(JsonFiles(config.parent), SecretsManager(lambda: _client("secretsmanager")))
        yield load(config), secrets, passed_on
        return
    from shopstream.cli.on_lambda import find_zips, require_aws_packages

    require_aws_packages()
    from shopstream.lambdas.config import LambdaFile
    from shopstream.rehearsal.aws import AwsStandIn
    from shopstream.run.lambda_fleet import rewind_joins
    from shopstream.run.lambda_shop import set_up
    from shopstream.run.runner import only_run_in
    from shopstream.topology import load as load_topology

    shop = load_topology()
    zips = find_zips(zips, shop, _tell)
    properties = cluster or _local_cluster(home, shop)
    if poll:
        _refuse_foreign_history(properties, shop)
    # Two pollers of one group with a table each would keep the halves of an order apart.
    with only_run_in(home) if poll else nullcontext(), AwsStandIn(home / "logs" / "aws.log") as aws:
        made = set_up(shop, properties, zips, aws.client)
        account = SecretsManager(lambda: aws.client("secretsmanager"))
        if poll:
            rewind_joins(properties, shop)
        yield LambdaFile(list(made.functions), list(made.mappings)), account, aws.environment()


def _local_cluster(home: Path, shop: Topology) -> Path:
    """The local cluster's client properties; it is started if it is not running, and stays up."""
    from shopstream.cluster.local import LocalCluster

    local = LocalCluster(home, topology=shop, progress=_tell)
    local.up()
    return local.properties(shop.user_of("auditor"))


def _refuse_foreign_history(properties: Path, shop: Topology) -> None:
    """Refuse a cluster whose orders workers have processed, or another seed shall decide about.

    Raises:
        UsageError: It is such a cluster: the functions would do it all again, or some of it otherwise.
    """
    from shopstream.run.waiting import default_seed, refuse_another_seed
    from shopstream.runtime.generator import check_platform, read_runs
    from shopstream.runtime.kafka_log import KafkaLog
    from shopstream.settings import for_user_or_itself

    reader = for_user_or_itself(properties, shop.user_of("auditor"))
    progress = KafkaLog(reader, "lambda")
    try:
        seen = read_runs(progress, shop)
        check_platform("lambda", seen)
        refuse_another_seed(reader, shop, "lambda", default_seed(shop), seen)
    finally:
        progress.close()


def _named(function: str, wanted: str, config: Path | None) -> bool:
    from shopstream.run.lambda_shop import function_name

    return function == wanted or (config is None and function == function_name(wanted))


def _event(path: Path | None) -> bytes:
    if path is None:
        return b"{}"
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        json.loads(content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply to be read: leave out levels of it") from error
    return content


def _destinations() -> AwsDestinations:
    from shopstream.lambdas.destination import AwsDestinations

    return AwsDestinations(_client, _tell)


def _client(service: str) -> Any:
    try:
        import boto3
    except ImportError as error:
        raise UsageError("boto3 is missing: install it with `pip install 'shopstream[aws]'`") from error
    return boto3.client(service)


def _log(function: str, line: str) -> None:
    say(f"{function}  {line}")


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
