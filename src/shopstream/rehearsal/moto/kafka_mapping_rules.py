"""What Lambda asks of an event source mapping for a self-managed Kafka; the sources are named in `kafka_mappings`."""

from __future__ import annotations

from typing import Any

from moto.awslambda.exceptions import LambdaClientError

from shopstream.rehearsal.moto import constraints

_ERROR_CONTROLS = ("MaximumRetryAttempts", "MaximumRecordAgeInSeconds")
_OF_OTHER_SOURCES = (
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ParallelizationFactor",
    "Queues",
    "ScalingConfig",
    "TumblingWindowInSeconds",
)
_WAYS_IN = {
    "BASIC_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SASL_SCRAM_256_AUTH",
    "SASL_SCRAM_512_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "VPC_SECURITY_GROUP",
    "VPC_SUBNET",
}
_CREDENTIALS = {"BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"}


def check_fields(operation: str, spec: dict[str, Any]) -> None:
    """Check each field by AWS's API model.

    Args:
        operation: For example "CreateEventSourceMapping".
        spec: The request.

    Raises:
        LambdaClientError: ValidationException.
    """
    problems = constraints.broken("lambda", operation, spec)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise LambdaClientError("ValidationException", f"{count}: {'; '.join(problems)}")


def check_together(spec: dict[str, Any]) -> None:
    """Check what must fit together, beyond the single fields.

    Args:
        spec: The whole mapping as it would be.

    Raises:
        LambdaClientError: InvalidParameterValueException.
    """
    for name in _OF_OTHER_SOURCES:
        if spec.get(name):
            raise wrong(f"{name} is not supported for a self-managed Kafka event source.")
    ways: dict[str, list[str]] = {}
    for access in spec.get("SourceAccessConfigurations") or []:
        ways.setdefault(access["Type"], []).append(access["URI"])
    for kind in ways.keys() - _WAYS_IN:
        raise wrong(f"The source access type {kind} is not supported for a self-managed Kafka event source.")
    if len(_CREDENTIALS & ways.keys()) > 1:
        raise wrong("Only one authentication type can be specified in SourceAccessConfigurations.")
    for kind in (_CREDENTIALS | {"SERVER_ROOT_CA_CERTIFICATE"}) & ways.keys():
        if len(ways[kind]) > 1 or not ways[kind][0].startswith("arn:"):
            raise wrong(f"{kind} needs one URI, the ARN of a Secrets Manager secret.")
    subnets, groups = ways.get("VPC_SUBNET", []), ways.get("VPC_SECURITY_GROUP", [])
    if bool(subnets) != bool(groups):
        raise wrong("VPC_SUBNET and VPC_SECURITY_GROUP must both be specified, or neither.")
    for uris, prefix in ((subnets, "subnet:subnet-"), (groups, "security_group:sg-")):
        for uri in uris:
            if not uri.startswith(prefix):
                raise wrong(f"{uri} is not of the form {prefix}….")
    if not _CREDENTIALS & ways.keys() and not subnets:
        raise wrong("SourceAccessConfigurations must name credentials or a VPC's subnets and security groups.")
    age = spec.get("MaximumRecordAgeInSeconds")
    if age is not None and -1 < age < 60:  # the API reference: -1, or 60 to 604,800
        raise wrong("MaximumRecordAgeInSeconds must be -1, or between 60 and 604800.")
    pollers = spec.get("ProvisionedPollerConfig") or {}
    if pollers.get("MinimumPollers", 1) > pollers.get("MaximumPollers", 200):
        raise wrong("MinimumPollers must not be greater than MaximumPollers.")
    if not pollers:
        named = [name for name in _ERROR_CONTROLS if spec.get(name, -1) not in {-1, None}]
        named += [name for name in ("BisectBatchOnFunctionError", "FunctionResponseTypes") if spec.get(name)]
        for name in named:
            raise wrong(f"{name} needs ProvisionedPollerConfig when the event source is a Kafka cluster.")


def wrong(message: str) -> LambdaClientError:
    """What Lambda answers to a request that makes no sense.

    Args:
        message: Why.
    """
    return LambdaClientError("InvalidParameterValueException", message)
