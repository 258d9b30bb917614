"""A function's deployment package, unpacked once for each content."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shopstream.errors import UsageError
from shopstream.lambdas import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_UNPACKED = 250 * 1024 * 1024
"""Bytes: the quota of an unpacked package."""
_UNPACKING = ".unpacking-"
_ENCRYPTED = 0x1  # the flag of an entry that needs a password


def task_root(code: Path, cache: Path) -> Path:
    """The directory to run a function in: a directory itself, or what a zip unpacks to.

    Args:
        code: A zip or a directory.
        cache: Where unpacked zips are kept, each under the hash of its content. They are read-only, as in Lambda, to
            all but root.

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
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f"{_UNPACKING}{os.getpid()}-"))
    try:
        _unpack(code, temporary)
        _make_read_only(temporary)
        try:
            temporary.rename(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was quicker
                raise
    finally:
        leftovers.remove(temporary)
    return place


def sweep(cache: Path) -> None:
    """Remove what was being unpacked by processes that were killed. `cache` is that of `task_root`."""
    leftovers.sweep(cache, _UNPACKING)


def _unpack(code: Path, place: Path) -> None:
    try:
        with zipfile.ZipFile(code) as archive:
            entries = archive.infolist()
            _check(code, entries)
            for entry in entries:
                _extract(code, archive, entry, place)
    except (zipfile.BadZipFile, EOFError, ValueError, lzma.LZMAError, struct.error, zlib.error) as error:
        raise UsageError(f"{code}: is no zip that can be read ({error}): build it again") from error
    except RuntimeError as error:  # what the library does not know: a compression, a version, an encryption
        raise UsageError(
            f"{code}: cannot be unpacked ({error}): build it with deflate and without a password"
        ) from error


def _extract(code: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path) -> None:
    try:
        path = Path(archive.extract(entry, place))
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(
            f"{code}: its entry {entry.filename!r} is a file and a directory at once: build it again, with one of them"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{code}: its entry {entry.filename!r} cannot be unpacked into {place.parent} ({error.strerror or error}): "
            "make room there, or build the zip again"
        ) from error
    if path.is_file():
        path.chmod(0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)


def _make_read_only(place: Path) -> None:
    """Only when all is unpacked: an entry may add to a directory, or take the place of an earlier one."""
    for directory, _, files in os.walk(place, topdown=False):
        for name in files:
            path = Path(directory, name)
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)
        Path(directory).chmod(0o555)


def _check(code: Path, entries: Iterable[zipfile.ZipInfo]) -> None:
    total = 0
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
            raise UsageError(f"{code}: its entry {entry.filename!r} lies outside of the package: build it again")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UsageError(f"{code}: its entry {entry.filename!r} is a symbolic link: pack what it points to")
        if entry.flag_bits & _ENCRYPTED:
            raise UsageError(f"{code}: its entry {entry.filename!r} is encrypted: build it without a password")
        total += entry.file_size
    if total > LARGEST_UNPACKED:
        raise UsageError(
            f"{code}: is {total >> 20} MB when unpacked: Lambda takes {LARGEST_UNPACKED >> 20} MB; leave out what the "
            "function does not need"
        )
