"""What a function and its event source mapping are: AWS's settings, with AWS's limits; and faults. Pure data.

Both can be made from this project's names, or from what AWS's API answers (`from_api`), and are checked the same way.
The limits are those of "Lambda quotas", "All self-managed
Apache Kafka event source configuration parameters in Lambda" and "Configuring error handling controls for Kafka event
sources" in AWS's developer guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
StartingPosition = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]

DEFAULT_BATCH_SIZE = 100
DEFAULT_WINDOW = 0.5
"""Seconds. Kafka's mappings wait so long when no window is given; a window that is given is in whole seconds."""
LONGEST_MAPPED_TIMEOUT = 840
"""Seconds. Mappings of Kafka support functions up to 14 minutes."""
INFINITE = -1
_VARIABLES = 4096  # bytes that all variables of a function may have together
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_VARIABLE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")  # "Environment" in AWS's API reference
# What AWS sets itself and refuses to take ("Defined runtime environment variables").
_RESERVED = re.compile(
    r"_HANDLER|_X_AMZN_TRACE_ID|AWS_DEFAULT_REGION|AWS_REGION|AWS_EXECUTION_ENV|AWS_LAMBDA_(FUNCTION|LOG|RUNTIME).*"
    r"|AWS_LAMBDA_INITIALIZATION_TYPE|AWS_ACCESS_KEY(_ID)?|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|LAMBDA_.*_(DIR|ROOT)"
)


@dataclass(frozen=True)
class FunctionConfig:
    """A Lambda function.

    Attributes:
        name: Its name.
        code: Its deployment package: a zip, or a directory that holds what the zip would.
        handler: `package.module.function`.
        timeout: Seconds that an invocation may take.
        memory_size: MB. Reported against what is used; not enforced.
        environment: Its own variables.
        arn: Its ARN; by default one of account 000000000000.
        version: Its version.
        reserved_concurrency: How many invocations may run at once; None for no limit of its own.
    """

    name: str
    code: Path
    handler: str
    timeout: int = 3
    memory_size: int = 128
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    arn: str = ""
    version: str = "$LATEST"
    reserved_concurrency: int | None = None

    def __post_init__(self) -> None:
        where = f"function {self.name!r}"
        if not _FUNCTION_NAME.fullmatch(self.name):
            raise UsageError(f"{where}: a name has 1 to 64 letters, digits, '-' and '_'")
        if not re.fullmatch(r"[^\s]{1,128}", self.handler) or "." not in self.handler or not self.handler.isprintable():
            raise UsageError(f"{where}: handler is {self.handler!r}: write module.function, at most 128 characters")
        _within(where, "timeout", self.timeout, 1, 900, "seconds")
        _within(where, "memory_size", self.memory_size, 128, 10_240, "MB")
        if self.reserved_concurrency is not None:
            _within(where, "reserved_concurrency", self.reserved_concurrency, 0, 1000, "invocations at once")
        self._check_environment(where)
        if not self.arn:
            object.__setattr__(self, "arn", f"arn:aws:lambda:us-east-1:000000000000:function:{self.name}")

    def _check_environment(self, where: str) -> None:
        for name, value in self.environment.items():
            if _RESERVED.fullmatch(name):
                raise UsageError(f"{where}: the variable {name} is Lambda's own and cannot be set: remove it")
            if not _VARIABLE_NAME.fullmatch(name):
                raise UsageError(
                    f"{where}: its environment has a variable {name!r}: a name is a letter and at least one more "
                    "letter, digit or '_'"
                )
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise UsageError(
                    f"{where}: the variable {name} holds what no variable can (a NUL, or half a character): write it "
                    "in another way, such as base64"
                )
        if (size := sum(len(f"{name}{value}".encode()) for name, value in self.environment.items())) > _VARIABLES:
            raise UsageError(f"{where}: its environment has {size} bytes: Lambda takes {_VARIABLES}")

    @property
    def region(self) -> str:
        """The region that its ARN names."""
        parts = self.arn.split(":")
        return parts[3] if len(parts) > 3 and parts[3] else "us-east-1"

    @classmethod
    def from_api(
        cls, answer: Mapping[str, Any], code: Path, *, reserved_concurrency: int | None = None
    ) -> FunctionConfig:
        """From what AWS's API answers: see `aws_shapes.function`."""
        from shopstream.lambdas import aws_shapes

        return aws_shapes.function(answer, code, reserved_concurrency=reserved_concurrency)


@dataclass(frozen=True)
class Provisioned:
    """Provisioned mode: how many pollers a mapping has at least and at most."""

    minimum_pollers: int = 1
    maximum_pollers: int = 200

    def __post_init__(self) -> None:
        _within("provisioned mode", "minimum_pollers", self.minimum_pollers, 1, 200, "pollers")
        _within("provisioned mode", "maximum_pollers", self.maximum_pollers, self.minimum_pollers, 2000, "pollers")


@dataclass(frozen=True)
class MappingConfig:
    """An event source mapping from one topic of a self-managed Kafka to a function.

    Attributes:
        uuid: Its identity.
        function: The name of the function that it feeds.
        topic: The topic.
        group: Its consumer group; by default the UUID, as at AWS.
        bootstrap_servers: The brokers, `host:port`.
        batch_size: Most records in a batch.
        window: Seconds to gather a batch, counted from its first record.
        starting_position: Where a partition without a committed offset begins.
        starting_timestamp: Where AT_TIMESTAMP begins, in milliseconds since 1970.
        auth_secret: A reference to the secret that holds username and password; None for a cluster without SASL.
        auth_mechanism: The SASL mechanism.
        ca_secret: A reference to the secret that holds the `certificate` of the brokers' authority; None for those
            that the system trusts.
        tls: Whether the brokers speak TLS. AWS takes no others when there is a password.
        provisioned: The pollers of provisioned mode; None for on-demand mode.
        report_batch_item_failures: Whether the function's answer may name the records that failed.
        maximum_retry_attempts: Retries until a batch is given up; -1 for no end.
        maximum_record_age: Seconds until a record is given up; -1 for never.
        bisect_batch_on_function_error: Whether a failed batch is retried in halves.
        on_failure: The ARN of a queue, topic or bucket that is told about what was given up.
        enabled: Whether it polls.
    """

    uuid: str
    function: str
    topic: str
    bootstrap_servers: tuple[str, ...]
    group: str = ""
    batch_size: int = DEFAULT_BATCH_SIZE
    window: float = DEFAULT_WINDOW
    starting_position: StartingPosition = "TRIM_HORIZON"
    starting_timestamp: int | None = None
    auth_secret: str | None = None
    auth_mechanism: Mechanism = "SCRAM-SHA-512"
    ca_secret: str | None = None
    tls: bool = True
    provisioned: Provisioned | None = None
    report_batch_item_failures: bool = False
    maximum_retry_attempts: int = INFINITE
    maximum_record_age: int = INFINITE
    bisect_batch_on_function_error: bool = False
    on_failure: str | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.uuid)
        where = f"the mapping of {self.topic!r} to {self.function!r}"
        if not self.topic:
            raise UsageError(f"the mapping to {self.function!r}: it has no topic: name one")
        if not self.bootstrap_servers or not all(re.fullmatch(r"\S+:\d+", each) for each in self.bootstrap_servers):
            raise UsageError(f"{where}: bootstrap_servers is {self.bootstrap_servers!r}: list brokers as host:port")
        _within(where, "batch_size", self.batch_size, 1, 10_000, "records")
        if not 0 <= self.window <= 300:
            raise UsageError(f"{where}: window is {self.window}: use 0 to 300 seconds")
        if self.starting_position not in get_args(StartingPosition):
            allowed = ", ".join(get_args(StartingPosition))
            raise UsageError(f"{where}: starting_position is {self.starting_position!r}: use one of {allowed}")
        if (self.starting_position == "AT_TIMESTAMP") != (self.starting_timestamp is not None):
            raise UsageError(f"{where}: AT_TIMESTAMP and a starting_timestamp belong together: give both or neither")
        if self.auth_secret and not self.tls:
            raise UsageError(f"{where}: Lambda speaks SASL only over TLS: let the brokers offer SASL_SSL")
        self._check_modes(where)

    def _check_modes(self, where: str) -> None:
        if self.maximum_retry_attempts != INFINITE:
            _within(
                where, "maximum_retry_attempts", self.maximum_retry_attempts, 0, 10_000, "retries, or -1 for no end"
            )
        if self.maximum_record_age != INFINITE:
            _within(where, "maximum_record_age", self.maximum_record_age, 60, 604_800, "seconds, or -1 for no end")
        if self.on_failure and not re.match(r"arn:aws[\w-]*:(sqs|sns|s3):", self.on_failure):
            raise UsageError(
                f"{where}: on_failure is {self.on_failure!r}: use the ARN of an SQS queue, SNS topic or S3 bucket"
            )
        if self.provisioned is None and (settings := self._provisioned_only()):
            raise UsageError(
                f"{where}: {', '.join(settings)} need provisioned mode: give it minimum and maximum pollers, or leave "
                "these out (in on-demand mode the whole batch is retried until it succeeds or its records expire)"
            )

    def _provisioned_only(self) -> list[str]:
        given = {
            "report_batch_item_failures": self.report_batch_item_failures,
            "maximum_retry_attempts": self.maximum_retry_attempts != INFINITE,
            "maximum_record_age": self.maximum_record_age != INFINITE,
            "bisect_batch_on_function_error": self.bisect_batch_on_function_error,
        }
        return [name for name, is_given in given.items() if is_given]

    @property
    def most_retries(self) -> int | None:
        """Retries until a batch is given up; None for no end.

        A failure destination turns "no end" into 10 ("Using a Kafka topic as an on-failure destination"). AWS's pages
        leave open whether that holds in on-demand mode; here it does in provisioned mode only.
        """
        if self.maximum_retry_attempts != INFINITE:
            return self.maximum_retry_attempts
        return 10 if self.on_failure and self.provisioned else None

    @classmethod
    def from_api(cls, answer: Mapping[str, Any]) -> MappingConfig:
        """From what AWS's API answers: see `aws_shapes.mapping`."""
        from shopstream.lambdas import aws_shapes

        return aws_shapes.mapping(answer)


@dataclass(frozen=True)
class Faults:
    """What goes wrong on purpose, to see whether functions bear being given the same records again.

    Attributes:
        redeliver: Share of the batches (0 to 1) that are delivered a second time after they succeeded.
        fail: Share of the batches whose function runs, but whose answer is lost: the batch is retried.
        crash: Share of the batches after whose success the environment is killed and the commit is lost.
        seed: The same seed draws the same faults from the same sequence of batches.
    """

    redeliver: float = 0.0
    fail: float = 0.0
    crash: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("redeliver", "fail", "crash"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"the share of batches to {name} is {getattr(self, name)}: use 0 to 1")


def check_together(functions: list[FunctionConfig], mappings: list[MappingConfig]) -> None:
    """Check what no single one can tell.

    Raises:
        UsageError: A name is used twice, a mapping feeds an unknown function or one that may run for too long, or two
            mappings share a consumer group.
    """
    by_name = {function.name: function for function in functions}
    if len(by_name) < len(functions):
        raise UsageError("two functions have the same name: rename one")
    groups: dict[tuple[tuple[str, ...], str], MappingConfig] = {}
    uuids: set[str] = set()
    for mapping in mappings:
        where = f"the mapping of {mapping.topic!r} to {mapping.function!r}"
        if mapping.function not in by_name:
            raise UsageError(f"{where}: there is no such function; there are: {', '.join(by_name) or 'none'}")
        if (timeout := by_name[mapping.function].timeout) > LONGEST_MAPPED_TIMEOUT:
            raise UsageError(
                f"{where}: the function's timeout is {timeout} s: mappings of Kafka take functions up to "
                f"{LONGEST_MAPPED_TIMEOUT} s (14 minutes)"
            )
        if (other := groups.setdefault((mapping.bootstrap_servers, mapping.group), mapping)) is not mapping:
            raise UsageError(
                f"{where}: its group {mapping.group!r} is that of {other.topic!r} as well: each needs its own"
            )
        if mapping.uuid in uuids:
            raise UsageError(f"{where}: its uuid {mapping.uuid!r} is used twice: each needs its own")
        uuids.add(mapping.uuid)


def _within(where: str, name: str, value: int, least: int, most: int, unit: str) -> None:
    if not least <= value <= most:
        raise UsageError(f"{where}: {name} is {value}: use {least} to {most} {unit}")
