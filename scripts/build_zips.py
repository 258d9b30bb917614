"""Builds one Lambda zip for each service of topology.yaml, and one for hello_world.

What goes into them, and why equal sources give equal bytes, is told in shopstream.lambdas.zipping. The wheels are those
of requirements-lambda.txt; what AWS's runtime brings along (boto3) stays out.

    python scripts/build_zips.py [--arch x86_64|arm64] [--out DIR] [--json] [SERVICE ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shopstream import topology
from shopstream.errors import PackagingError, ShopstreamError, UsageError
from shopstream.lambdas.zipping import own_files, pack, reachable, wheel_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (ROOT / "src", ROOT)
"""Where the project's own packages lie."""

REQUIREMENTS = ROOT / "requirements-lambda.txt"
EXTRA = ("hello_world",)
"""Functions that are no services."""

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""What Linux calls the architectures of Lambda."""

# AWS's python3.13 runtime stands on Amazon Linux 2023, whose glibc is 2.34; the oldest that our wheels ask for is 2.17.
_GLIBC = range(34, 16, -1)
_PROVIDED = frozenset({"boto3", "botocore"})


class Built(NamedTuple):
    """A zip that is there."""

    service: str
    path: Path
    size: int
    sha256: str


def write(path: Path, content: bytes) -> None:
    """Put a file there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def download(arch: str, cache: Path = ROOT / "build" / "wheels") -> list[Path]:
    """The wheels of requirements-lambda.txt for an architecture, checked against their hashes; from the cache if there.

    Raises:
        PackagingError: pip cannot get them.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    folder = cache / f"{arch}-{digest[:16]}"
    if not folder.is_dir():
        _tell(f"downloading the wheels of {REQUIREMENTS.name} for {arch}")
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
        try:
            _pip_download(arch, partial)
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # another build was quicker
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(folder.glob("*.whl"))


def _pip_download(arch: str, folder: Path) -> None:
    platforms = [f"manylinux_2_{minor}_{MACHINES[arch]}" for minor in _GLIBC] + [f"manylinux2014_{MACHINES[arch]}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    command += [
        "--python-version",
        "3.13",
        "--implementation",
        "cp",
        "--abi",
        "cp313",
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    command += [word for platform in platforms for word in ("--platform", platform)]
    done = subprocess.run(
        [*command, "--dest", str(folder), "-r", str(REQUIREMENTS)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = " ".join(said[-3:]).strip() or f"exit code {done.returncode}"
        raise PackagingError(
            f"pip could not get the wheels of {REQUIREMENTS.name} for {arch}: {reason}\n"
            "check the network and pip's configuration (`pip config list`, PIP_INDEX_URL), then try again"
        )


def build(services: Sequence[str], arch: str, out: Path) -> Iterator[Built]:
    """Build the zips of services, each given as soon as it is there.

    Raises:
        PackagingError: A service has no handler, imports what is not shipped, or its wheels cannot be had.
    """
    for service in services:
        if not (ROOT / "services" / service / f"{service}.py").is_file():
            raise PackagingError(
                f"service {service!r} of topology.yaml has no services/{service}/{service}.py: write it, "
                "with `def handler(event, context)`"
            )
    reaches = {service: reachable(_entries(service), SOURCES) for service in services}
    third_party: dict[str, bytes] = {}
    layer = b""
    if any(reach.foreign - _PROVIDED for reach in reaches.values()):
        third_party = wheel_files(download(arch))
        _tell("compressing the wheels")
        layer = pack(third_party)  # once for all of them: it is most of the work
    shipped = {name.partition("/")[0].partition(".")[0] for name in third_party}
    for service, reach in reaches.items():
        if missing := reach.foreign - _PROVIDED - shipped:
            raise PackagingError(
                f"service {service!r} imports {', '.join(sorted(missing))}, which neither {REQUIREMENTS.name} nor "
                "Lambda's runtime holds: add it to the group `lambda` in pyproject.toml and run "
                "scripts/lock_requirements.sh, or import it where no handler comes by"
            )
        content = pack(own_files(service, reach, ROOT), layer if reach.foreign - _PROVIDED else b"")
        path = out / f"{service}.zip"
        write(path, content)
        yield Built(service, path, len(content), hashlib.sha256(content).hexdigest())


def _entries(service: str) -> tuple[str, ...]:
    """The modules that Lambda imports for a function."""
    core = f"services.{service}.{service}"
    return (core,) if service in EXTRA else (core, "shopstream.runtime.entry")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for, and print a table of it."""
    parser = argparse.ArgumentParser(prog="build_all_zips.sh", description="Build the Lambda zips.")
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these (default: all, and hello_world)")
    parser.add_argument("--arch", choices=MACHINES, default="x86_64", help="of the functions (default: x86_64)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "lambdas", help="default: build/lambdas")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no half zip stays behind
    built = []
    try:
        known = (*topology.load(ROOT / "topology.yaml").services, *EXTRA)
        if unknown := [name for name in given.services if name not in known]:
            raise UsageError(f"unknown service {', '.join(unknown)}: use one or more of {', '.join(known)}")
        wanted = tuple(dict.fromkeys(given.services)) or known
        for zipped in build(wanted, given.arch, given.out.resolve()):
            built.append(zipped)
            if not given.json:
                print(f"{zipped.service:<22} {zipped.size / 1e6:6.2f} MB  {zipped.sha256}", flush=True)
    except (ShopstreamError, OSError) as error:
        _tell(f"error: {error}")
        return error.exit_code if isinstance(error, ShopstreamError) else 1
    except KeyboardInterrupt:
        _tell("interrupted: what is listed above is complete, the rest is as it was")
        return 130
    if given.json:
        rows = [{"service": b.service, "path": str(b.path), "bytes": b.size, "sha256": b.sha256} for b in built]
        print(json.dumps({"arch": given.arch, "zips": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
