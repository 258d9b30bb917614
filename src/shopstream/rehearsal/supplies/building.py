"""How a supply is built: into a directory named after its recipe's hash, whole or not at all, and then only found."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SHOWN_LINES = 15


def digest(recipe: object) -> str:
    """Twelve characters that change with anything in a recipe (whatever JSON can hold)."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def digest_of_files(*roots: Path) -> str:
    """Twelve characters that change with any name or content below some directories."""
    found = hashlib.sha256()
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()[:12]


def built(cache: Path, name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """Find a supply, or build it.

    Args:
        cache: Where supplies are kept.
        name: What it is. Supplies of the same name and an older recipe stay: guests may stand on them.
        recipe: A hash of all that decides what comes out.
        build: Fills the empty directory that it is given.

    Returns:
        Its directory.
    """
    target = cache / f"{name}-{recipe}"
    if target.is_dir():
        return target
    for leftover in cache.glob(f".{name}-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=cache, prefix=f".{name}-"))
    staging.chmod(0o755)
    try:
        build(staging)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def run(
    command: Sequence[str | Path],
    purpose: str,
    remedy: str,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end.

    Args:
        command: The program and its arguments.
        purpose: What it is for: the beginning of an error.
        remedy: What an error shall tell the user to do.
        environment: Its environment; this process's by default.
        stdin: What it reads.

    Returns:
        What it wrote to its standard output.

    Raises:
        RehearsalError: It failed; the end of what it wrote is in the text.
    """
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        last = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-_SHOWN_LINES:])
        raise RehearsalError(f"{purpose}: {command[0]} ended with {done.returncode}: {remedy}\n{last}")
    return done.stdout
