"""Wheels for CPython 3.11 on x86_64 Linux, the guests' Python: what requirements-operator.txt pins."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.supplies.building import built, run

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIREMENTS = Path(__file__).parents[4] / "requirements-operator.txt"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def wheels(cache: Path, progress: Callable[[str], None], requirements: Path = REQUIREMENTS) -> Path:
    """The directory of the wheels; downloaded when there is none.

    Args:
        cache: Where supplies are kept.
        progress: Told in a line when something must be downloaded.
        requirements: What to download, with hashes.

    Raises:
        RehearsalError: The requirements are not there, or a wheel cannot be had.
    """
    if not requirements.is_file():
        raise RehearsalError(f"{requirements}: no such file: the rehearsal runs in a checkout of the project only")

    def build(root: Path) -> None:
        progress("downloading Python packages for the guests (once)")
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
                *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11", *platforms),
                *("--dest", root, "--requirement", requirements),
            ],
            "Python packages for the guests cannot be downloaded",
            "check the network and pip's index, then start again",
        )

    return built(cache, "wheels", hashlib.sha256(requirements.read_bytes()).hexdigest()[:12], build)


def unpack(directory: Path, project: str, target: Path) -> None:
    """Unpack a project's wheel of a directory."""
    (wheel,) = directory.glob(f"{project}-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(target)
