"""Functions and mappings from a YAML file: for anyone who wants to try a function on a Kafka.

The names are those of AWS's API in snake_case. Paths are relative to the file. A misspelt name is refused, because it
would otherwise be ignored in silence.
"""

from __future__ import annotations

import re
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import yaml

from shopstream.errors import UsageError
from shopstream.lambdas.model import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_WINDOW,
    INFINITE,
    FunctionConfig,
    MappingConfig,
    Mechanism,
    Provisioned,
    StartingPosition,
    check_together,
)

if TYPE_CHECKING:
    from pathlib import Path


_REGION = re.compile(r"[a-z]{2,5}(-[a-z]+)+-[1-9]")
_YEAR_10000 = 253_402_300_800  # seconds since 1970


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry of the file may have."""


class _Pollers(_Strict, frozen=True):
    minimum_pollers: int = 1
    maximum_pollers: int = 200


class _Source(_Strict, frozen=True):
    topic: str
    bootstrap_servers: list[str] | str | None = None
    consumer_group_id: str = ""
    batch_size: int = DEFAULT_BATCH_SIZE
    maximum_batching_window_in_seconds: float = DEFAULT_WINDOW
    starting_position: StartingPosition = "TRIM_HORIZON"
    starting_position_timestamp: float | None = None
    auth_secret: str | None = None
    auth_mechanism: Mechanism = "SCRAM-SHA-512"
    ca_secret: str | None = None
    tls: bool | None = None
    provisioned_poller_config: _Pollers | None = None
    report_batch_item_failures: bool = False
    maximum_retry_attempts: int = INFINITE
    maximum_record_age_in_seconds: int = INFINITE
    bisect_batch_on_function_error: bool = False
    on_failure: str | None = None
    enabled: bool = True


class _Function(_Strict, frozen=True):
    code: str
    handler: str
    timeout: int = 3
    memory_size: int = 128
    environment: dict[str, str | int | float | bool] = {}
    reserved_concurrency: int | None = None
    region: str = "us-east-1"
    event_sources: list[_Source] = []


class _Defaults(_Strict, frozen=True):
    """What every mapping uses that names none of its own."""

    bootstrap_servers: list[str] | str = []
    auth_secret: str | None = None
    auth_mechanism: Mechanism = "SCRAM-SHA-512"
    ca_secret: str | None = None
    tls: bool | None = None


class _File(_Strict, frozen=True):
    functions: dict[str, _Function]
    kafka: _Defaults = _Defaults()


class LambdaFile(msgspec.Struct, frozen=True):
    """What a file declares.

    Attributes:
        functions: Its functions.
        mappings: Their event source mappings.
    """

    functions: list[FunctionConfig]
    mappings: list[MappingConfig]


def load(path: Path) -> LambdaFile:
    """Read a file.

    Raises:
        UsageError: It cannot be read, or what it says cannot be done. The text says where.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no YAML: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-13-01, which it takes for a date
        raise UsageError(f"{path}: is no YAML: {error}") from error
    except RecursionError as error:
        raise UsageError(
            f"{path}: is nested too deeply to be read: the documentation shows what it may hold"
        ) from error
    try:
        declared = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        # Its text names the place, such as `$.functions[...].handler`.
        raise UsageError(f"{path}: {error}: correct it there; the documentation lists what may stand there") from error
    try:
        functions = [_function(name, each, path.parent) for name, each in declared.functions.items()]
        for name, function in declared.functions.items():
            _check_topics(name, function.event_sources)
        mappings = [
            _mapping(name, source, declared.kafka)
            for name, function in declared.functions.items()
            for source in function.event_sources
        ]
        check_together(functions, mappings)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return LambdaFile(functions, mappings)


def _function(name: str, declared: _Function, directory: Path) -> FunctionConfig:
    code = directory / declared.code
    if not code.exists():
        raise UsageError(f"function {name!r}: its code {code} does not exist: name a zip, or a directory")
    if not _REGION.fullmatch(declared.region):
        raise UsageError(f"function {name!r}: region is {declared.region!r}: write one such as eu-central-1")
    return FunctionConfig(
        name=name,
        code=code,
        handler=declared.handler,
        timeout=declared.timeout,
        memory_size=declared.memory_size,
        environment=MappingProxyType({key: _text(value) for key, value in declared.environment.items()}),
        arn=f"arn:aws:lambda:{declared.region}:000000000000:function:{name}",
        reserved_concurrency=declared.reserved_concurrency,
    )


def _check_topics(function: str, sources: list[_Source]) -> None:
    """A function and a topic make a mapping's identity here."""
    topics = [source.topic for source in sources]
    for topic in topics:
        if topics.count(topic) > 1:
            raise UsageError(
                f"function {function!r}: its event_sources name the topic {topic!r} more than once: leave one of them, "
                "or declare the function under a second name for the other"
            )


def _mapping(function: str, source: _Source, kafka: _Defaults) -> MappingConfig:
    servers = source.bootstrap_servers or kafka.bootstrap_servers
    if isinstance(servers, str):
        servers = servers.split(",")
    auth, ca = source.auth_secret or kafka.auth_secret, source.ca_secret or kafka.ca_secret
    tls = kafka.tls if source.tls is None else source.tls
    pollers = source.provisioned_poller_config
    return MappingConfig(
        # The same function and topic are the same mapping the next time, and so go on where they were.
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"lambda:{function}:{source.topic}")),
        function=function,
        topic=source.topic,
        bootstrap_servers=tuple(server.strip() for server in servers),
        group=source.consumer_group_id,
        batch_size=source.batch_size,
        window=source.maximum_batching_window_in_seconds,
        starting_position=source.starting_position,
        starting_timestamp=_milliseconds(function, source),
        auth_secret=auth,
        auth_mechanism=source.auth_mechanism if source.auth_secret else kafka.auth_mechanism,
        ca_secret=ca,
        # A cluster for trying things out may have neither; a secret means that there is TLS.
        tls=bool(auth or ca) if tls is None else tls,
        provisioned=Provisioned(pollers.minimum_pollers, pollers.maximum_pollers) if pollers else None,
        report_batch_item_failures=source.report_batch_item_failures,
        maximum_retry_attempts=source.maximum_retry_attempts,
        maximum_record_age=source.maximum_record_age_in_seconds,
        bisect_batch_on_function_error=source.bisect_batch_on_function_error,
        on_failure=source.on_failure,
        enabled=source.enabled,
    )


def _milliseconds(function: str, source: _Source) -> int | None:
    timestamp = source.starting_position_timestamp
    if timestamp is None:
        return None
    if not 0 <= timestamp < _YEAR_10000:
        raise UsageError(
            f"the mapping of {source.topic!r} to {function!r}: starting_position_timestamp is {timestamp}: write "
            "seconds since 1970, such as 1767225600"
        )
    return int(timestamp * 1000)


def _text(value: str | float) -> str:
    # As YAML has it, not as Python prints it.
    return str(value).lower() if isinstance(value, bool) else str(value)
