"""What the stand-in machines are made of and install: a base image, and a tree of packages and archives to serve.

Everything is built once, into a cache, from Debian's mirror, Maven and PyPI; later calls only look whether it is there.
Whatever is real is the real thing; what cannot be had without its owner's repository has a stand-in that says so
(`shopstream.rehearsal.standins`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shopstream.errors import RehearsalError
from shopstream.rehearsal.supplies import archive, artifacts, debs, image, mirror, packages, wheels
from shopstream.rehearsal.supplies.building import built, digest
from shopstream.rehearsal.supplies.repository import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

_APT = Path("/etc/apt")
# Program: the Debian package that has it.
_TOOLS = {
    "apt-get": "apt",
    "chroot": "coreutils",
    "debootstrap": "debootstrap",
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
    "gpgconf": "gnupg",
}


@dataclass(frozen=True)
class Supplies:
    """What was prepared.

    Attributes:
        image: The root directory of the guests' sealed base: nobody may write to it.
        www: The tree to serve.
    """

    image: Path
    www: Path

    def sources_list(self, base_url: str) -> str:
        """A guest's /etc/apt/sources.list.

        Args:
            base_url: Where `www` is served, without a slash at its end.
        """
        return f"deb [signed-by={image.KEY}] {base_url}/debian ./\n"

    def variables(self, base_url: str) -> dict[str, str]:
        """The Ansible variables that point the playbooks here instead of at the real places.

        Args:
            base_url: Where `www` is served, without a slash at its end.
        """
        exporter = next(self.www.glob("jmx_prometheus_javaagent-*.jar"))
        return {
            **self._kafka(base_url, artifacts.KAFKA),
            "jmx_exporter_url": f"{base_url}/{exporter.name}",
            "jmx_exporter_checksum": f"sha256:{artifacts.JMX_EXPORTER.read()[0].sha256}",
            **_repository("confluent", f"{base_url}/confluent", "archive.key"),
            **_repository("grafana", f"{base_url}/grafana", "gpg.key"),
            "pip_options": f"--no-index --find-links {base_url}/wheels/ --trusted-host {urlsplit(base_url).hostname}",
        }

    def upgrade_variables(self, base_url: str) -> dict[str, str]:
        """The variables to give upgrade.yml on top: the same ones, for the next Kafka."""
        return {"kafka_version": artifacts.KAFKA_NEXT.version, **self._kafka(base_url, artifacts.KAFKA_NEXT)}

    def _kafka(self, base_url: str, bundle: artifacts.Bundle) -> dict[str, str]:
        name = f"kafka_2.13-{bundle.version}.tgz"
        checksum = (self.www / f"{name}.sha512").read_text(encoding="ascii").strip()
        return {"kafka_archive_url": f"{base_url}/{name}", "kafka_archive_checksum": f"sha512:{checksum}"}


def _repository(name: str, address: str, key: str) -> dict[str, str]:
    return {
        f"{name}_repository_uri": address,
        f"{name}_repository_key_url": f"{address}/{key}",
        f"{name}_repository_suites": "stable",
        f"{name}_repository_components": "main",
    }


def prepare(cache: Path, progress: Callable[[str], None] = lambda _: None) -> Supplies:
    """Find the supplies, or build what is missing of them.

    Args:
        cache: Where they are kept; made when it is not there. Two processes may share it: one waits for the other.
        progress: Told in a line whenever something takes time.

    Raises:
        RehearsalError: This machine is not one on which they can be made, or something could not be had.
        ClusterError: A jar is damaged, or cannot be had.
    """
    _require_tools()
    cache.mkdir(parents=True, exist_ok=True)
    cache = cache.resolve()
    with (cache / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        signer = Signer.of(cache)
        sources = mirror.sources(_APT)
        base = image.image(cache, signer, sources, progress)
        parts = {
            "debian": packages.debian(cache, base, signer, sources, progress),
            "wheels": wheels.wheels(cache, progress),
            "confluent": debs.confluent(cache, signer, progress),
            "grafana": debs.grafana(cache, signer, progress),
        }
        files = _files(cache, progress)
        return Supplies(base, _tree(cache, parts, files))


def _files(cache: Path, progress: Callable[[str], None]) -> tuple[Path, ...]:
    kafkas = (archive.archive(cache, bundle, progress) for bundle in (artifacts.KAFKA, artifacts.KAFKA_NEXT))
    archives = [path for directory in kafkas for path in directory.glob("*.tgz")]
    return (*archives, *artifacts.JMX_EXPORTER.install(cache, progress))


def _tree(cache: Path, parts: dict[str, Path], files: tuple[Path, ...]) -> Path:
    """One directory to serve: links to what lies elsewhere in the cache, and the sums of the archives."""

    def build(root: Path) -> None:
        for name, target in parts.items():
            (root / name).symlink_to(os.path.relpath(target, cache / "www"))
        for file in files:
            (root / file.name).symlink_to(os.path.relpath(file, cache / "www"))
            if file.suffix == ".tgz":
                (root / f"{file.name}.sha512").write_text(f"{archive.sha512_of(file)}\n", encoding="ascii")

    targets = {name: str(target.relative_to(cache)) for name, target in parts.items()}
    return built(cache, "www", digest([targets, [str(file.relative_to(cache)) for file in files], 1]), build)


def _require_tools() -> None:
    remedy = "the rehearsal needs Debian or Ubuntu, and root"
    if not shutil.which("apt-get"):
        raise RehearsalError(f"no apt-get on this machine: {remedy}")
    if os.geteuid() != 0:
        raise RehearsalError(f"the guests' base image can be made by root only, this is user {os.geteuid()}: {remedy}")
    missing = {package for program, package in _TOOLS.items() if not shutil.which(program)}
    if not Path(mirror.KEYRING).is_file():
        missing.add("debian-archive-keyring")
    if missing:
        raise RehearsalError(f"programs are missing: install them with `apt-get install {' '.join(sorted(missing))}`")
