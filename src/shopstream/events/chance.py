"""Chance without state: the same question always gets the same answer, in every process and on every machine."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_SCALE = 2.0**-53  # the spacing of the doubles below 1


def draw(seed: int, subject: str, step: str) -> float:
    """A number that is uniform in [0, 1): a pure function of its arguments.

    Args:
        seed: Chooses one of many worlds. Any whole number.
        subject: What the draw is about, for example an order id.
        step: Which of the subject's draws it is, for example `payment`.
    """
    digest = blake2b(f"{seed}\0{subject}\0{step}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _SCALE


def choose(options: Sequence[T], seed: int, subject: str, step: str) -> T:
    """One of the options, each equally likely: a pure function of its arguments."""
    return options[int(draw(seed, subject, step) * len(options))]
