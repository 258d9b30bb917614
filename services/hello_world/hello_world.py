"""The first Lambda: the smallest thing that can be built, deployed and called."""

from __future__ import annotations


def hello() -> str:
    """The greeting."""
    return "Hello World"


def handler(event: object, context: object) -> str:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: the greeting, whatever it is called with."""
    return hello()
