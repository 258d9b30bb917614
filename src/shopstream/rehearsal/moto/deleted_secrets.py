"""A secret that is scheduled for deletion is refused in Secrets Manager's own words.

AWS: an InvalidRequestException, "You can't perform this operation on the secret because it was marked for deletion."
Clients tell it from others by these words, as Ansible's lookup does for `on_deleted`
(external-secrets/external-secrets#4560 shows the message as AWS gave it).

moto: the same exception, in words of its own.

Here: moto's exception gets AWS's words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.secretsmanager.exceptions import InvalidRequestException

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = "You can't perform this operation on the secret because it was marked for deletion."
_MOTOS = "currently marked deleted"


def apply() -> None:
    """Teach moto's exception."""
    around(InvalidRequestException, "__init__", _refuse)


def _refuse(original: Callable[..., None], error: Any, message: str) -> None:
    original(error, _WORDS if _MOTOS in message else message)
