"""Where mappings get passwords and certificates from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "file:"


class Secrets(Protocol):
    """Looks secrets up. Nothing is remembered: a secret that was corrected is found the next time."""

    def get(self, reference: str) -> dict[str, str]:
        """The names and values in a secret.

        Raises:
            UsageError: There is no such secret, or it is no JSON object of texts.
        """
        ...


class JsonFiles:
    """Secrets in JSON files; a reference is `file:` and a path.

    Args:
        directory: What relative paths are relative to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, reference: str) -> dict[str, str]:
        """The content of a file."""
        path = self._directory / Path(reference.removeprefix(FILE)).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path}: the secret cannot be read ({error}): make the file, or correct the path"
            ) from error
        return _parse(text, str(path))


class SecretsManager:
    """Secrets in AWS's Secrets Manager, or what stands in for it; a reference is an ARN or a name.

    Args:
        client: Makes boto3's client when the first secret is asked for.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._make = client
        self._client: Any = None

    def get(self, reference: str) -> dict[str, str]:
        """The current version of a secret."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
        except ImportError as error:
            raise UsageError(
                f"{reference}: boto3 is missing, which asks Secrets Manager: install it with "
                "`pip install 'shopstream[aws]'`, or name a file with file:"
            ) from error
        try:
            if self._client is None:
                self._client = self._make()
            answer = self._client.get_secret_value(SecretId=reference)
        except NoRegionError as error:
            raise UsageError(
                f"{reference}: nothing says in which region this secret is: set AWS_DEFAULT_REGION, or name a "
                "file with file:"
            ) from error
        except (ClientError, BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
            raise UsageError(f"{reference}: the secret cannot be had from Secrets Manager: {error}") from error
        return _parse(answer.get("SecretString", ""), reference)


class AnySecrets:
    """References to files go to one, all others to the other.

    Args:
        files: For `file:` references.
        manager: For all others.
    """

    def __init__(self, files: Secrets, manager: Secrets) -> None:
        self._files = files
        self._manager = manager

    def get(self, reference: str) -> dict[str, str]:
        """The secret, from where its reference says."""
        return (self._files if reference.startswith(FILE) else self._manager).get(reference)


def _parse(text: str, source: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        # The error's own text may quote the secret.
        raise UsageError(f'{source}: the secret is no JSON: write {{"username": "…", "password": "…"}}') from error
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise UsageError(f"{source}: the secret is no JSON object of texts")
    return value
