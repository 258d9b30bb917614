"""Functions and mappings from what AWS's API answers: `GetFunctionConfiguration`, `ListEventSourceMappings`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError
from shopstream.lambdas.model import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_WINDOW,
    INFINITE,
    FunctionConfig,
    MappingConfig,
    Mechanism,
    Provisioned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def function(answer: Mapping[str, Any], code: Path, *, reserved_concurrency: int | None = None) -> FunctionConfig:
    """From `GetFunctionConfiguration`, or from `Configuration` in what `GetFunction` answers.

    Args:
        answer: AWS's answer.
        code: Its zip, fetched by the caller (the answer's `CodeSha256` tells whether it is the right one).
        reserved_concurrency: From `GetFunctionConcurrency`.

    Raises:
        UsageError: It cannot be run here.
    """
    name = str(answer["FunctionName"])
    runtime = answer.get("Runtime")
    if runtime and runtime != "python3.13":
        raise UsageError(f"function {name!r}: its runtime is {runtime}: only python3.13 can be run here")
    if answer.get("PackageType", "Zip") != "Zip":
        raise UsageError(f"function {name!r}: it is a container image: only zips can be run here")
    return FunctionConfig(
        name=name,
        code=code,
        handler=str(answer["Handler"]),
        timeout=int(answer.get("Timeout", 3)),
        memory_size=int(answer.get("MemorySize", 128)),
        environment=MappingProxyType(dict((answer.get("Environment") or {}).get("Variables") or {})),
        arn=str(answer.get("FunctionArn", "")),
        version=str(answer.get("Version", "$LATEST")),
        reserved_concurrency=reserved_concurrency,
    )


def mapping(answer: Mapping[str, Any]) -> MappingConfig:
    """From an item of `ListEventSourceMappings`, or what `GetEventSourceMapping` answers.

    Raises:
        UsageError: It is no mapping of a self-managed Kafka, or uses what cannot be done here.
    """
    uuid = str(answer.get("UUID", ""))
    endpoints = (answer.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    if not (servers := endpoints.get("KAFKA_BOOTSTRAP_SERVERS")):
        raise UsageError(f"event source mapping {uuid}: its source is no self-managed Kafka")
    topics = answer.get("Topics") or []
    if len(topics) != 1:
        raise UsageError(f"event source mapping {uuid}: it has {len(topics)} topics: AWS takes exactly one")
    if answer.get("FilterCriteria"):
        raise UsageError(f"event source mapping {uuid}: filter criteria cannot be evaluated here: remove them")
    if (answer.get("SelfManagedKafkaEventSourceConfig") or {}).get("SchemaRegistryConfig"):
        raise UsageError(f"event source mapping {uuid}: a schema registry cannot be asked here: remove it")
    function = str(answer.get("FunctionArn") or answer.get("FunctionName"))
    access = _Access.of(uuid, answer.get("SourceAccessConfigurations") or [])
    pollers = answer.get("ProvisionedPollerConfig") or None
    window = answer.get("MaximumBatchingWindowInSeconds")
    return MappingConfig(
        uuid=uuid,
        function=function.split(":")[6] if function.startswith("arn:") else function,
        topic=str(topics[0]),
        # One entry of the list may hold several, separated by commas.
        bootstrap_servers=tuple(server.strip() for entry in servers for server in entry.split(",")),
        group=str((answer.get("SelfManagedKafkaEventSourceConfig") or {}).get("ConsumerGroupId") or ""),
        batch_size=int(answer.get("BatchSize") or DEFAULT_BATCH_SIZE),
        window=DEFAULT_WINDOW if window is None else float(window),
        starting_position=answer.get("StartingPosition") or "TRIM_HORIZON",
        starting_timestamp=_milliseconds(answer.get("StartingPositionTimestamp")),
        auth_secret=access.auth,
        auth_mechanism=access.mechanism,
        ca_secret=access.authority,
        provisioned=pollers
        and Provisioned(int(pollers.get("MinimumPollers", 1)), int(pollers.get("MaximumPollers", 200))),
        report_batch_item_failures="ReportBatchItemFailures" in (answer.get("FunctionResponseTypes") or []),
        maximum_retry_attempts=_or_infinite(answer.get("MaximumRetryAttempts")),
        maximum_record_age=_or_infinite(answer.get("MaximumRecordAgeInSeconds")),
        bisect_batch_on_function_error=bool(answer.get("BisectBatchOnFunctionError")),
        on_failure=((answer.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or None,
        enabled=bool(answer["Enabled"])
        if "Enabled" in answer
        else answer.get("State", "Enabled") not in {"Disabled", "Disabling", "Deleting"},
    )


@dataclass
class _Access:
    """What a mapping's `SourceAccessConfigurations` say, as far as it concerns a client on this machine."""

    auth: str | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    authority: str | None = None

    @classmethod
    def of(cls, uuid: str, entries: list[Mapping[str, str]]) -> _Access:
        access = cls()
        for entry in entries:
            match entry.get("Type"):
                case "SASL_SCRAM_512_AUTH":
                    access.auth, access.mechanism = entry["URI"], "SCRAM-SHA-512"
                case "SASL_SCRAM_256_AUTH":
                    access.auth, access.mechanism = entry["URI"], "SCRAM-SHA-256"
                case "BASIC_AUTH":
                    access.auth, access.mechanism = entry["URI"], "PLAIN"
                case "SERVER_ROOT_CA_CERTIFICATE":
                    access.authority = entry["URI"]
                case "VPC_SUBNET" | "VPC_SECURITY_GROUP":
                    pass  # where AWS's pollers stand; ours stand here
                case other:
                    raise UsageError(f"event source mapping {uuid}: access of type {other} is not supported here")
        return access


def _or_infinite(value: int | None) -> int:
    return INFINITE if value is None else int(value)


def _milliseconds(value: Any) -> int | None:
    """The API has seconds since 1970; boto3 makes a datetime of them."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    return int(float(value) * 1000)
