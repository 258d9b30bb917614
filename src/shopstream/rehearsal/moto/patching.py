"""How a method of moto is replaced."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def around(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Have `function(original, *arguments)` called where `owner.name(*arguments)` is.

    Args:
        owner: A class or module of moto.
        name: What is replaced. It must be there: a moto that has moved on shall be noticed.
        function: Gets the original first.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def instead(*arguments: Any, **keywords: Any) -> Any:
        return function(original, *arguments, **keywords)

    setattr(owner, name, instead)


def replaced(owner: Any, name: str, value: Any) -> None:
    """Put something in the place of an attribute, which need not be there: moto sets some on its objects only.

    Args:
        owner: A class or module of moto.
        name: What is replaced.
        value: For example a property.
    """
    setattr(owner, name, value)


def added(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Add a method that moto lacks.

    Args:
        owner: A class of moto.
        name: Its name there.
        function: The method.

    Raises:
        AttributeError: moto has it by now, so the shim has had its day.
    """
    if hasattr(owner, name):
        raise AttributeError(f"{owner.__name__}.{name} is there already")
    setattr(owner, name, function)
