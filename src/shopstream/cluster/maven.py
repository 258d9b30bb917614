"""Locked jars from Maven: named and hashed in a lock file, fetched through jgo, never used unless every hash fits.

A lock holds a SHA-256 sum and Maven coordinates a line, and no address: jgo fetches from Maven Central, or from the
`central` repository that the user's own jgo settings name instead.
"""

from __future__ import annotations

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
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from jgo.maven import Artifact, MavenContext
    from jgo.maven._resolver import ProgressCallback

_DOWNLOADS = 16
_TIMEOUT_S = 30


@dataclass(frozen=True, order=True)
class Jar:
    """One locked jar."""

    coordinate: str
    sha256: str

    @property
    def name(self) -> str:
        """Group and artifact, without the version."""
        return self.coordinate.rpartition(":")[0]

    @property
    def version(self) -> str:
        """For example 4.4.0."""
        return self.coordinate.rpartition(":")[2]

    @property
    def filename(self) -> str:
        """Its name in the classpath's directory."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read(path: Path, name: str, remedy: str) -> tuple[Jar, ...]:
    """Read a lock.

    Args:
        path: The lock file.
        name: Group and artifact that it must hold.
        remedy: What an error shall tell the user to do.

    Raises:
        ClusterError: It is missing or not a lock.
    """
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
    if not any(jar.name == name for jar in jars):
        raise ClusterError(f"{path}: expected a line for {name}, found {len(jars)} others: {remedy}")
    return tuple(sorted(jars))


def to_text(header: str, jars: Iterable[Jar]) -> str:
    """A lock as `read` takes it."""
    return header + "".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in sorted(jars))


def install(target: Path, jars: Sequence[Jar], announce: Callable[[], None]) -> tuple[Path, ...]:
    """Make sure that every locked jar is there and is the very file that was locked.

    Args:
        target: The directory of the jars; its parent exists.
        jars: What to install.
        announce: Called when something must be downloaded.

    Returns:
        The jars' paths, in the order given.

    Raises:
        ClusterError: A jar is damaged, differs from the lock, or cannot be had.
    """
    if not target.is_dir():
        _install(target, jars, announce)
    else:
        verify(target, jars, f"delete {target} and start again, to download it anew")
    return tuple(target / jar.filename for jar in jars)


def _install(target: Path, jars: Sequence[Jar], announce: Callable[[], None]) -> None:
    for leftover in target.parent.glob(".install-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".install-"))
    try:
        announce()
        directory = staging / "jars"
        directory.mkdir()
        download(staging / "repository", directory, jars)
        verify(directory, jars, "nothing was installed; try again, and mistrust the download if it happens twice")
        directory.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def verify(directory: Path, jars: Iterable[Jar], remedy: str) -> None:
    """Compare the jars of a directory with what was locked.

    Raises:
        ClusterError: One is missing or another file.
    """
    for jar in jars:
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


def download(repository: Path, directory: Path, jars: Iterable[Jar]) -> None:
    """Fetch jars through jgo, many at a time.

    Args:
        repository: A directory that jgo may fill.
        directory: Where the jars shall lie.
        jars: Which ones; their sums are not looked at.

    Raises:
        ClusterError: One cannot be had.
    """
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
        path.rename(directory / jar.filename)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        try:
            for _ in pool.map(fetch, jars):
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


def resolve(roots: Sequence[str], left_out: Collection[str] = ()) -> tuple[Jar, ...]:
    """Resolve artifacts and everything that they need, download it, and hash it.

    Args:
        roots: group:artifact:version of each.
        left_out: group:artifact of what nobody needs.
    """
    with tempfile.TemporaryDirectory() as directory:
        context = _maven(Path(directory))
        dependencies = [context.create_dependency(root) for root in roots]
        inputs, transitive = context.resolver.resolve(dependencies)
        needed = [*inputs, *(found for found in transitive if found.scope in {"compile", "runtime"})]

        def locked(artifact: Artifact) -> Jar:
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            return Jar(coordinate, sha256_of(artifact.resolve()))

        artifacts = [one.artifact for one in needed if f"{one.groupId}:{one.artifactId}" not in left_out]
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            return tuple(sorted(set(pool.map(locked, artifacts))))
