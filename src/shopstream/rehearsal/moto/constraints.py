"""AWS's own constraints on a request, as its API model (botocore's data) states them.

A service refuses what breaks them with a ValidationException before it looks further. moto and boto3 check few of them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import Shape


@cache
def _service(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), service_name=name)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of the model. Those that only Java reads (Unicode classes) let everything pass."""
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(r".*", re.DOTALL)


def broken(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """Which constraints a request breaks, in AWS's wording.

    Args:
        service: For example "lambda".
        operation: For example "CreateEventSourceMapping".
        request: What was sent, by the model's names. Members that are unknown to the model are passed over.
    """
    shape = _service(service).operation_model(operation).input_shape
    return [
        f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
        for path, value, constraint in _violations(shape, request, "")
    ]


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if value is None:
        return
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            for name, member in shape.members.items():
                yield from _violations(member, value.get(name), _below(path, name))
        case "list":
            yield from _size(limits, len(value), value, path)
            for number, each in enumerate(value, 1):
                yield from _violations(shape.member, each, f"{path}.{number}.member")
        case "map":
            yield from _size(limits, len(value), value, path)
            for key, each in value.items():
                yield from _violations(shape.key, key, path)
                yield from _violations(shape.value, each, f"{path}.{key}.member")
        case "string":
            yield from _size(limits, len(value), value, path)
            if "enum" in limits and value not in limits["enum"]:
                yield path, value, f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
            pattern = limits.get("pattern")
            if pattern and not _pattern(pattern).fullmatch(value):
                yield path, value, f"Member must satisfy regular expression pattern: {pattern}"
        case "integer" | "long" | "float" | "double":
            if "min" in limits and value < limits["min"]:
                yield path, value, f"Member must have value greater than or equal to {limits['min']}"
            if "max" in limits and value > limits["max"]:
                yield path, value, f"Member must have value less than or equal to {limits['max']}"


def _size(limits: dict[str, Any], size: int, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if "min" in limits and size < limits["min"]:
        yield path, value, f"Member must have length greater than or equal to {limits['min']}"
    if "max" in limits and size > limits["max"]:
        yield path, value, f"Member must have length less than or equal to {limits['max']}"


def _below(path: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name
