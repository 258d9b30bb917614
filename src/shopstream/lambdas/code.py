"""A function's deployment package, unpacked once for each content."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_UNPACKED = 250 * 1024 * 1024
"""Bytes: the quota of an unpacked package."""


def task_root(code: Path, cache: Path) -> Path:
    """The directory to run a function in: a directory itself, or what a zip unpacks to.

    Args:
        code: A zip or a directory.
        cache: Where unpacked zips are kept, each under the hash of its content. Their files are read-only, as in
            Lambda.

    Raises:
        UsageError: There is no such package, or it must not be unpacked.
    """
    if code.is_dir():
        return code.resolve()
    try:
        with code.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            f"{code}: the function's zip cannot be read ({error.strerror}): build it, or correct the path"
        ) from error
    place = cache / digest
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".unpacking-"))
    try:
        _unpack(code, temporary)
        temporary.chmod(0o755)
        try:
            temporary.rename(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was quicker
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return place


def _unpack(code: Path, place: Path) -> None:
    try:
        with zipfile.ZipFile(code) as archive:
            entries = archive.infolist()
            _check(code, entries)
            for entry in entries:
                path = Path(archive.extract(entry, place))
                if path.is_file():
                    path.chmod(0o555 if (entry.external_attr >> 16) & 0o111 else 0o444)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UsageError(f"{code}: is no zip that can be read ({error}): build it again") from error


def _check(code: Path, entries: Iterable[zipfile.ZipInfo]) -> None:
    total = 0
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
            raise UsageError(f"{code}: its entry {entry.filename!r} lies outside of the package: build it again")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UsageError(f"{code}: its entry {entry.filename!r} is a symbolic link: pack what it points to")
        total += entry.file_size
    if total > LARGEST_UNPACKED:
        raise UsageError(
            f"{code}: is {total >> 20} MB when unpacked: Lambda takes {LARGEST_UNPACKED >> 20} MB; leave out what the "
            "function does not need"
        )
