"""Kafka's jars: named and hashed in `kafka.lock`, fetched once through jgo, never used unless every hash fits.

The lock holds a SHA-256 sum and Maven coordinates a line, and no address: jgo fetches from Maven Central, or from the
`central` repository that the user's own jgo settings name instead. To move to another Kafka, change `ROOTS` and run

    python -m shopstream.cluster.jars --relock
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jgo.maven import Artifact, MavenContext
    from jgo.maven._resolver import ProgressCallback

LOCK = Path(__file__).with_name("kafka.lock")
KAFKA = "org.apache.kafka:kafka_2.13"
# slf4j-simple logs to stderr, which becomes the broker's log file. Kafka's slf4j-api is 1.7, so the binding is too.
ROOTS = (f"{KAFKA}:4.4.0", "org.slf4j:slf4j-simple:1.7.36")
# Only for changing a broker's log levels while it runs; to have it loaded makes a start slower by a tenth.
LEFT_OUT = frozenset({"org.apache.logging.log4j:log4j-core"})
_HEADER = """\
# Kafka and all that it needs: SHA-256, then group:artifact:version.
# Written by `python -m shopstream.cluster.jars --relock`.
"""
_DOWNLOADS = 16
_TIMEOUT_S = 30


@dataclass(frozen=True, order=True)
class Jar:
    """One locked jar."""

    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        """Its name in the classpath's directory."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


@dataclass(frozen=True)
class Lock:
    """What kafka.lock says."""

    jars: tuple[Jar, ...]

    @classmethod
    def read(cls, path: Path = LOCK) -> Lock:
        """Read a lock.

        Raises:
            ClusterError: It is missing or not a lock.
        """
        remedy = "restore it from version control, or write it anew with `python -m shopstream.cluster.jars --relock`"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterError(f"{path}: cannot be read ({error}): {remedy}") from error
        jars = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            sha256, _, coordinate = line.partition("  ")
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef") or coordinate.count(":") != 2:
                raise ClusterError(f"{path}:{number}: expected a SHA-256 sum and group:artifact:version: {remedy}")
            jars.append(Jar(coordinate, sha256))
        if not any(jar.coordinate.startswith(f"{KAFKA}:") for jar in jars):
            raise ClusterError(f"{path}: expected a line for {KAFKA}, found {len(jars)} others: {remedy}")
        return cls(tuple(sorted(jars)))

    def to_text(self) -> str:
        """As `read` takes it."""
        return _HEADER + "".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in sorted(self.jars))

    @property
    def kafka_version(self) -> str:
        """For example 4.4.0."""
        return next(jar.coordinate for jar in self.jars if jar.coordinate.startswith(f"{KAFKA}:")).rpartition(":")[2]

    @property
    def digest(self) -> str:
        """Twelve characters that change with any line."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:12]


def install(cache: Path, lock: Lock, progress: Callable[[str], None] = lambda _: None) -> tuple[Path, ...]:
    """Make sure that every locked jar is there and is the very file that was locked.

    Args:
        cache: Where installations are kept.
        lock: What to install.
        progress: Told in a line when something must be downloaded.

    Returns:
        The classpath, always in the same order.

    Raises:
        ClusterError: A jar is damaged, differs from the lock, or cannot be had.
    """
    target = cache / f"kafka-{lock.kafka_version}-{lock.digest}"
    paths = tuple(target / jar.filename for jar in lock.jars)
    if not target.is_dir():
        _install(cache, target, lock, progress)
    else:
        _verify(target, lock, f"delete {target} and start again, to download it anew")
    return paths


def _install(cache: Path, target: Path, lock: Lock, progress: Callable[[str], None]) -> None:
    for leftover in cache.glob(".install-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=cache, prefix=".install-"))
    try:
        progress(f"downloading Kafka {lock.kafka_version} ({len(lock.jars)} jars, about 43 MB, once)")
        jars = staging / "jars"
        jars.mkdir()
        _download(staging / "repository", jars, lock)
        _verify(jars, lock, "nothing was installed; try again, and mistrust the download if it happens twice")
        jars.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _verify(directory: Path, lock: Lock, remedy: str) -> None:
    for jar in lock.jars:
        path = directory / jar.filename
        found = sha256_of(path) if path.is_file() else "no file"
        if found != jar.sha256:
            raise ClusterError(
                f"{path}: not the locked jar of {jar.coordinate}\n"
                f"  expected SHA-256 {jar.sha256}\n  found            {found}\n  remedy: {remedy}"
            )


def sha256_of(path: Path) -> str:
    """The SHA-256 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Cancelled(Exception):  # noqa: N818 - not an error
    """A download was told to stop."""


def _download(repository: Path, jars: Path, lock: Lock) -> None:
    cancelled = threading.Event()

    @contextlib.contextmanager
    def watched(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def update(_bytes: int) -> None:
            if cancelled.is_set():
                raise _Cancelled

        yield update

    context = _maven(repository, watched)

    def fetch(jar: Jar) -> None:
        group, artifact, version = jar.coordinate.split(":")
        if cancelled.is_set():
            raise _Cancelled
        try:
            path = context.project(group, artifact).at_version(version).artifact().resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            raise ClusterError(
                f"{jar.coordinate} cannot be downloaded: check the network, then start again; behind a mirror, name it "
                f"`central` among the [repositories] of jgo's settings\n  {error}"
            ) from error
        path.rename(jars / jar.filename)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        try:
            for _ in pool.map(fetch, lock.jars):
                pass
        except BaseException:
            # Ctrl-C as well: what is under way stops at its next chunk, so that the staging directory can go.
            cancelled.set()
            raise


def _maven(repository: Path, progress: ProgressCallback | None = None) -> MavenContext:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    return MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=repository,
        remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
        timeout=_TIMEOUT_S,
    )


def resolve() -> Lock:
    """Resolve `ROOTS` and everything that they need, download it, and hash it. Takes about 20 s."""
    with tempfile.TemporaryDirectory() as directory:
        context = _maven(Path(directory))
        dependencies = [context.create_dependency(root) for root in ROOTS]
        inputs, transitive = context.resolver.resolve(dependencies)
        needed = [*inputs, *(found for found in transitive if found.scope in {"compile", "runtime"})]

        def locked(artifact: Artifact) -> Jar:
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            return Jar(coordinate, sha256_of(artifact.resolve()))

        artifacts = [one.artifact for one in needed if f"{one.groupId}:{one.artifactId}" not in LEFT_OUT]
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            return Lock(tuple(sorted(set(pool.map(locked, artifacts)))))


def main() -> None:
    """Show the lock, or write it anew."""
    parser = argparse.ArgumentParser(description="The locked jars of the local Kafka.")
    parser.add_argument("--relock", action="store_true", help="resolve Kafka's jars anew and write kafka.lock")
    if parser.parse_args().relock:
        LOCK.write_text(resolve().to_text(), encoding="utf-8")
    lock = Lock.read()
    print(f"Kafka {lock.kafka_version}, {len(lock.jars)} jars, lock {lock.digest}")


if __name__ == "__main__":
    main()
