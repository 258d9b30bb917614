"""How much memory an EC2 instance has. Only this of an instance type is imitated."""

from __future__ import annotations

from shopstream.errors import UsageError

GIB = 1 << 30

# AWS's figures: https://aws.amazon.com/ec2/instance-types/t2/ and /t3/. One row for each type that may be rehearsed.
MEMORY = {
    "t2.micro": 1 * GIB,
    "t3.micro": 1 * GIB,
    "t2.small": 2 * GIB,
    "t3.small": 2 * GIB,
    "t2.medium": 4 * GIB,
    "t3.medium": 4 * GIB,
    "t2.large": 8 * GIB,
    "t3.large": 8 * GIB,
}


def memory_of(instance_type: str) -> int:
    """The memory of an instance, in bytes.

    Args:
        instance_type: As AWS calls it, for example "t2.micro".

    Raises:
        UsageError: The type is not in the table.
    """
    try:
        return MEMORY[instance_type]
    except KeyError:
        raise UsageError(
            f"the memory of instance type {instance_type!r} is not known here; known are {', '.join(sorted(MEMORY))}: "
            f"choose one of them for the host, or add AWS's figure to {__name__}"
        ) from None
