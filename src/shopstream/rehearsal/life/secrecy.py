"""Whether a secret lies anywhere but in the account: in Terraform's state, in a log, in a zip.

The hosts and the functions' memory have to have some; the files that a deployment leaves with its operator must have
none. A forgotten `no_log` or a plain attribute in the Terraform would put them there.
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

PUBLIC = frozenset({"username", "certificate"})
"""Keys of a secret whose values everybody may know."""

_SHORTEST = 20  # characters; what is shorter is no key or password of ours, and would be found by chance


def words(client: Callable[[str], Any]) -> dict[bytes, str]:
    """What must stand nowhere, and the name of the secret that it belongs to.

    Args:
        client: Makes boto3's client for a service of the account.
    """
    manager = client("secretsmanager")
    found: dict[bytes, str] = {}
    for page in manager.get_paginator("list_secrets").paginate():
        for name in (secret["Name"] for secret in page["SecretList"]):
            found |= dict.fromkeys(telling(manager.get_secret_value(SecretId=name)["SecretString"]), name)
    return found


def telling(secret: str) -> Iterator[bytes]:
    """The parts of a secret's text that give it away wherever they stand. Pure.

    Of a key in PEM it is the first line of its content: JSON and YAML write the ends of lines in their own ways. The
    last lines of an elliptic curve's key (RFC 5915, in PKCS #8) are its public half, which stands in its certificate.
    """
    try:
        values: Mapping[str, Any] = json.loads(secret)
    except ValueError:
        values = {"": secret}
    for name, value in values.items():
        if name in PUBLIC:
            continue
        lines = [line for line in str(value).splitlines() if not line.startswith("-----")]
        if lines and len(lines[0]) >= _SHORTEST:
            yield lines[0].encode()


def search(secrets: Mapping[bytes, str], places: Iterable[Path]) -> int:
    """Look into every file below some directories, and into every entry of their zips; links are not followed.

    Args:
        secrets: As `words` gives them.
        places: Directories, or files.

    Returns:
        How many files and entries were read.

    Raises:
        RehearsalError: A secret is there. It is called by its name.
    """
    read = 0
    there = []
    for place in places:
        for path in [place, *place.rglob("*")]:
            if path.is_symlink() or not path.is_file():
                continue
            for name, content in _contents(path):
                read += 1
                there += [f"{name} holds {secret}" for secret in sorted(_in(content, secrets))]
    if there:
        raise RehearsalError(f"secrets lie outside Secrets Manager: {'; '.join(there)}")
    return read


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    yield str(path), path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f"{path}: {name}", archive.read(name)


def _in(content: bytes, secrets: Mapping[bytes, str]) -> set[str]:
    return {name for word, name in secrets.items() if word in content}
