"""What runs the functions: CPython 3.13 with AWS's runtime client and boto3, as Lambda's python3.13 has them."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shopstream.cluster.guard import exclusive
from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VARIABLE = "SHOPSTREAM_PYTHON313"
REQUIREMENTS = Path(__file__).with_name("runtime-requirements.txt")
_MAKING = ".runtime-"
_LOOK = "import sys, platform; print(sys.implementation.name, *sys.version_info[:2], platform.machine())"
_REMEDY = (
    f"install Python 3.13 (for example `uv python install 3.13` or `pyenv install 3.13`), or name one with {VARIABLE}"
)


class Runtime(Protocol):
    """Whatever can say which interpreter runs the functions."""

    def python(self) -> Path:
        """An interpreter that has awslambdaric and boto3.

        Raises:
            UsageError: There is none, with the remedy.
        """
        ...


@dataclass(frozen=True)
class PreparedRuntime:
    """An interpreter that is known to have all that is needed."""

    path: Path

    def python(self) -> Path:
        """The interpreter."""
        return self.path


@dataclass(frozen=True)
class LocalRuntime:
    """A virtual environment in a cache, made at the first use, and anew when its requirements change.

    Attributes:
        cache: Where it is kept.
        environ: The environment variables of this process, for finding Python and for pip.
        tell: Told in a line what takes time.
        requirements: What it holds, with hashes.
    """

    cache: Path
    environ: Mapping[str, str]
    tell: Callable[[str], None] = lambda _: None
    requirements: Path = REQUIREMENTS

    def python(self) -> Path:
        """The environment's interpreter; the environment is made when there is none.

        Raises:
            UsageError: This is no Linux on x86_64, there is no CPython 3.13, or the packages cannot be had.
        """
        base = find_python(self.environ)
        content = self.requirements.read_bytes() + str(base).encode()
        place = self.cache / f"runtime-{hashlib.sha256(content).hexdigest()[:16]}"
        interpreter = place / "bin" / "python"
        if not interpreter.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            waiting = lambda: self.tell("waiting for another process that prepares the Lambda runtime")  # noqa: E731
            with exclusive(self.cache / "runtime-guard", waiting=waiting):
                if not interpreter.exists():
                    self.tell("preparing the Lambda runtime (once)")
                    self._make(base, place)
        return interpreter

    def _make(self, base: Path, place: Path) -> None:
        for leftover in self.cache.glob(f"{_MAKING}*"):  # of a process that was killed: this one holds the lock
            shutil.rmtree(leftover, ignore_errors=True)
        # In a directory beside it first: it is there as a whole or not at all.
        temporary = Path(tempfile.mkdtemp(dir=self.cache, prefix=_MAKING))
        try:
            _run([str(base), "-m", "venv", str(temporary)], self.environ)
            pip = [str(temporary / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            install = ["install", "--require-hashes", "--only-binary", ":all:", "-r", str(self.requirements)]
            _run([*pip, *install], self.environ)
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def find_python(environ: Mapping[str, str], *, machine: str = "", system: str = "") -> Path:
    """A CPython 3.13: the one that the variable names, one on the path, or one that pyenv or uv has.

    Args:
        environ: Environment variables.
        machine: Instead of this machine's architecture.
        system: Instead of this machine's system.

    Raises:
        UsageError: There is none, or this machine cannot run Lambda's packages.
    """
    machine, system = machine or platform.machine(), system or sys.platform
    if system != "linux" or machine != "x86_64":
        raise UsageError(
            f"this machine is {system} on {machine}: the functions' zips hold packages for Linux on x86_64; run this "
            "on such a machine, in a virtual one, or in a container"
        )
    if named := environ.get(VARIABLE):
        found = shutil.which(named, path=environ.get("PATH"))
        if found is None or (what := _is_3_13(found)) is not None:
            raise UsageError(
                f"{VARIABLE} is {named}: that is {what if found else 'not to be found'}; name a CPython 3.13"
            )
        return Path(found)
    for candidate in _candidates(environ):
        if _is_3_13(candidate) is None:
            return Path(candidate)
    raise UsageError(f"CPython 3.13 is needed to run Lambda functions and was not found: {_REMEDY}")


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    path = environ.get("PATH")
    if on_path := shutil.which("python3.13", path=path):
        yield on_path
    if pyenv := shutil.which("pyenv", path=path):
        listed = _output([pyenv, "versions", "--bare"], environ).split()
        for version in sorted((v for v in listed if v.startswith("3.13.")), reverse=True):
            yield str(Path(_output([pyenv, "prefix", version], environ)) / "bin" / "python3.13")
    if (uv := shutil.which("uv", path=path)) and (known := _output([uv, "python", "find", "3.13"], environ)):
        yield known


def _is_3_13(python: str) -> str | None:
    """None when it is a CPython 3.13 for x86_64; otherwise what it is."""
    found = _output([python, "-I", "-c", _LOOK], {})
    return None if found == "cpython 3 13 x86_64" else found or "no Python that runs"


def _output(command: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=dict(environ))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(environ))
    if done.returncode:
        raise UsageError(
            f"the Lambda runtime could not be made with `{' '.join(command)}`:\n{(done.stderr or done.stdout).strip()}"
        )
