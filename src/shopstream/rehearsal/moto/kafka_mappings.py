"""Event source mappings of Lambda for a self-managed Kafka.

AWS: "CreateEventSourceMapping" and "SelfManagedEventSource" of the Lambda API reference; "Using Lambda with
self-managed Apache Kafka", "Customizable consumer group ID" and "Configuring error handling controls for Kafka event
sources" of the Lambda developer guide. The limits of the single fields are those of AWS's API model.

moto: knows Kinesis, DynamoDB and SQS; asks for an EventSourceArn.

Here: mappings with a SelfManagedEventSource are kept apart from moto's. Retries, record age, splitting and partial
responses are refused without provisioned pollers: the developer guide describes them for that mode only; the error that
AWS gives is not documented. A mapping is Creating, Enabling, Disabling, Updating or Deleting for a moment, as at AWS,
and refuses changes meanwhile with ResourceInUseException. Nothing polls a Kafka.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from moto.awslambda.exceptions import GenericResourcNotFound, LambdaClientError
from moto.awslambda.models import LambdaBackend
from moto.awslambda.responses import LambdaResponse
from moto.awslambda.utils import make_event_source_mapping_arn

from shopstream.rehearsal.moto import kafka_mapping_rules as rules
from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable

# How long a mapping is on its way from one state to the next, in seconds. At AWS it is about half a minute.
IN_TRANSITION = 0.2

_KEPT = (
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "FilterCriteria",
    "FunctionResponseTypes",
    "KMSKeyArn",
    "LoggingConfig",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ProvisionedPollerConfig",
    "SourceAccessConfigurations",
)
_FIXED = (
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
)


class KafkaMapping:
    """One mapping."""

    def __init__(self, account: str, region: str, function_arn: str, spec: dict[str, Any]) -> None:
        self.uuid = str(uuid.uuid4())
        self.arn = make_event_source_mapping_arn(region, account, self.uuid)
        self.function_arn = function_arn
        self.event_source_arn = None  # moto looks at it when it lists
        self.enabled = bool(spec.get("Enabled", True))
        self.tags: dict[str, str] = dict(spec.get("Tags") or {})
        self.settings = {name: spec[name] for name in (*_FIXED, *_KEPT) if spec.get(name) is not None}
        self.settings.setdefault("BatchSize", 100)
        self.settings.setdefault("SelfManagedKafkaEventSourceConfig", {}).setdefault(
            "ConsumerGroupId", str(uuid.uuid4())
        )
        self._move("Creating")

    @property
    def function_name(self) -> str:
        """The ARN, which is what moto compares when it lists by function."""
        return self.function_arn

    @property
    def topic(self) -> str:
        """The one topic."""
        return str(self.settings["Topics"][0])

    @property
    def group(self) -> str:
        """The consumer group."""
        return str(self.settings["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"])

    @property
    def brokers(self) -> list[str]:
        """The bootstrap servers, in AWS's order."""
        return sorted(self.settings["SelfManagedEventSource"]["Endpoints"]["KAFKA_BOOTSTRAP_SERVERS"])

    @property
    def settled(self) -> bool:
        """Whether it has reached the state that it was last sent to."""
        return time.monotonic() >= self._settled_at

    @property
    def gone(self) -> bool:
        """Whether its deletion is complete."""
        return self._passing == "Deleting" and self.settled

    @property
    def state(self) -> str:
        """As GetEventSourceMapping shows it."""
        if not self.settled:
            return self._passing
        return "Enabled" if self.enabled else "Disabled"

    def update(self, function_arn: str | None, spec: dict[str, Any]) -> None:
        """Change what was sent; what is not there stays. An empty filter or poller configuration takes it away.

        Args:
            function_arn: Another function, or None.
            spec: The request.
        """
        self.function_arn = function_arn or self.function_arn
        for name in _KEPT:
            if spec.get(name) is not None:
                self.settings[name] = spec[name]
            if name in {"FilterCriteria", "ProvisionedPollerConfig", "DestinationConfig"} and spec.get(name) == {}:
                self.settings.pop(name, None)
        enabled = bool(spec.get("Enabled", self.enabled))
        passing = "Updating" if enabled == self.enabled else "Enabling" if enabled else "Disabling"
        self.enabled = enabled
        self._move(passing)

    def delete(self) -> None:
        """Begin to delete it."""
        self._move("Deleting")

    def get_configuration(self) -> dict[str, Any]:
        """What the API shows of it."""
        return {
            **self.settings,
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": self.brokers}},
            "UUID": self.uuid,
            "EventSourceMappingArn": self.arn,
            "FunctionArn": self.function_arn,
            "LastModified": self._modified,
            "State": self.state,
            "StateTransitionReason": "USER_INITIATED",
        }

    def _move(self, passing: str) -> None:
        self._passing = passing
        self._settled_at = time.monotonic() + IN_TRANSITION
        self._modified = time.time()


def apply() -> None:
    """Teach moto's Lambda backend and its answers."""
    around(LambdaBackend, "create_event_source_mapping", _create)
    around(LambdaBackend, "get_event_source_mapping", _get)
    around(LambdaBackend, "list_event_source_mappings", _list)
    around(LambdaBackend, "update_event_source_mapping", _update)
    around(LambdaBackend, "delete_event_source_mapping", _delete)
    around(LambdaBackend, "_get_resource_by_arn", _by_arn)
    for name in ("get", "update", "delete"):
        around(LambdaResponse, f"{name}_event_source_mapping", _or_not_found)


def _create(original: Callable[..., Any], backend: Any, spec: dict[str, Any]) -> Any:
    if "SelfManagedEventSource" not in spec:
        return original(backend, spec)
    rules.check_fields("CreateEventSourceMapping", spec)
    if spec.get("EventSourceArn"):
        raise rules.wrong("Only one of EventSourceArn and SelfManagedEventSource can be specified.")
    if not spec["SelfManagedEventSource"].get("Endpoints"):
        raise rules.wrong("SelfManagedEventSource must contain Endpoints.")
    if not spec.get("Topics"):
        raise rules.wrong("Topics is required for a self-managed Kafka event source: exactly one topic.")
    position = spec.get("StartingPosition")
    if not position:
        raise rules.wrong("StartingPosition is required for a self-managed Kafka event source.")
    if (position == "AT_TIMESTAMP") != bool(spec.get("StartingPositionTimestamp")):
        raise rules.wrong("StartingPositionTimestamp goes with StartingPosition AT_TIMESTAMP, and only with it.")
    rules.check_together(spec)
    function = backend.get_function(spec["FunctionName"])
    mapping = KafkaMapping(backend.account_id, backend.region_name, function.function_arn, spec)
    for other in _kafka_mappings(backend):
        if (other.function_arn, other.topic, other.brokers) == (mapping.function_arn, mapping.topic, mapping.brokers):
            raise LambdaClientError(
                "ResourceConflictException",
                "An event source mapping with the same event source, topic and function already exists. Please update "
                f"or delete the existing mapping with UUID {other.uuid}",
            )
        if other.group == mapping.group:
            raise rules.wrong(f"ConsumerGroupId {mapping.group} is in use by the event source mapping {other.uuid}.")
    backend._event_source_mappings[mapping.uuid] = mapping  # noqa: SLF001 - moto's own store
    return mapping


def _get(original: Callable[..., Any], backend: Any, identifier: str) -> Any:
    _bury(backend)
    return original(backend, identifier)


def _list(original: Callable[..., Any], backend: Any, event_source_arn: str | None, function_name: str | None) -> Any:
    _bury(backend)
    arn = backend.get_function(function_name).function_arn if function_name else None
    others = [each for each in original(backend, event_source_arn, None) if not isinstance(each, KafkaMapping)]
    ours = [] if event_source_arn else _kafka_mappings(backend)
    return [each for each in (*others, *ours) if arn in {None, each.function_arn}]


def _update(original: Callable[..., Any], backend: Any, identifier: str, spec: dict[str, Any]) -> Any:
    mapping = backend.get_event_source_mapping(identifier)
    if not isinstance(mapping, KafkaMapping):
        return original(backend, identifier, spec)
    _check_free(mapping, "update")
    rules.check_fields("UpdateEventSourceMapping", {**spec, "UUID": identifier})
    wanted = spec.get("SelfManagedKafkaEventSourceConfig")
    if wanted and wanted.get("ConsumerGroupId", mapping.group) != mapping.group:
        raise rules.wrong("The ConsumerGroupId of an event source mapping cannot be updated.")
    rules.check_together({**mapping.settings, **spec})
    name = spec.get("FunctionName")
    mapping.update(backend.get_function(name).function_arn if name else None, spec)
    return mapping


def _delete(original: Callable[..., Any], backend: Any, identifier: str) -> Any:
    mapping = backend.get_event_source_mapping(identifier)
    if not isinstance(mapping, KafkaMapping):
        return original(backend, identifier)
    _check_free(mapping, "delete")
    mapping.delete()
    return mapping


def _by_arn(original: Callable[..., Any], backend: Any, arn: str) -> Any:
    if ":event-source-mapping:" in arn:
        mapping = backend.get_event_source_mapping(arn.rpartition(":")[2])
        if mapping is None:
            raise GenericResourcNotFound
        return mapping
    return original(backend, arn)


def _or_not_found(original: Callable[..., Any], response: Any) -> Any:
    """Moto answers 404 without an error code, and the AWS SDKs do not know what to make of it."""
    if response.backend.get_event_source_mapping(response.path.rstrip("/").split("/")[-1]) is None:
        raise GenericResourcNotFound
    return original(response)


def _kafka_mappings(backend: Any) -> list[KafkaMapping]:
    _bury(backend)
    return [each for each in backend._event_source_mappings.values() if isinstance(each, KafkaMapping)]  # noqa: SLF001


def _bury(backend: Any) -> None:
    mappings = backend._event_source_mappings  # noqa: SLF001
    for identifier, mapping in list(mappings.items()):
        if isinstance(mapping, KafkaMapping) and mapping.gone:
            mappings.pop(identifier, None)


def _check_free(mapping: KafkaMapping, doing: str) -> None:
    if not mapping.settled:
        error = LambdaClientError(
            "ResourceInUseException", f"Cannot {doing} the event source mapping because it is in use."
        )
        error.code = 400
        raise error
