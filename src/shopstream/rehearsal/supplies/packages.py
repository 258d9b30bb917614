"""The Debian packages that the playbooks install, with all that they need beyond the base image."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from shopstream.rehearsal.supplies import repository
from shopstream.rehearsal.supplies.building import built, digest, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shopstream.rehearsal.supplies.mirror import Source

PACKAGES = (
    *("openjdk-17-jre-headless", "python3-cryptography", "python3-venv", "python3-pip", "python3-yaml"),
    *("prometheus", "prometheus-node-exporter", "prometheus-alertmanager"),
    *("acl", "chrony", "curl", "gnupg", "gpg", "jq", "nftables", "tar", "unzip", "xz-utils"),
)


def debian(
    cache: Path,
    image: Path,
    signer: repository.Signer,
    sources: Sequence[Source],
    progress: Callable[[str], None],
) -> Path:
    """A flat repository with `PACKAGES` and what they depend on; downloaded when there is none.

    Args:
        cache: Where supplies are kept.
        image: The base image: what is installed there is left out.
        signer: Whose key signs it.
        sources: Where Debian comes from.
        progress: Told in a line when something must be downloaded.

    Raises:
        RehearsalError: A package cannot be had.
    """

    def build(root: Path) -> None:
        progress(f"downloading Debian packages ({len(PACKAGES)} and what they need, about 100 MB, once)")
        _download(root, image, sources)
        repository.flat(root, signer)

    return built(cache, "debian", digest({"packages": PACKAGES, "image": image.name}), build)


def _download(root: Path, image: Path, sources: Sequence[Source]) -> None:
    state = root / "apt"
    for name in ("lists/partial", "archives/partial", "parts"):
        (state / name).mkdir(parents=True)
    listing = state / "sources.list"
    listing.write_text("".join(source.line() for source in sources), encoding="utf-8")
    shutil.copyfile(image / "var/lib/dpkg/status", state / "status")
    settings = {
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # its own user may not look into a private cache directory
        "Acquire::Languages": "none",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::State::extended_states": state / "extended_states",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Etc::sourcelist": listing,
        "Dir::Etc::sourceparts": state / "parts",
        "Dir::Etc::preferencesparts": state / "parts",
        "Dir::Log": state,
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in settings.items())]
    remedy = f"check that {' '.join(source.uri for source in sources)} can be reached"
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    run([*apt, "update"], "Debian's lists of packages cannot be downloaded", remedy, environment=environment)
    install = [*apt, "install", "--yes", "--download-only", "--no-remove", *PACKAGES]
    run(install, "Debian packages cannot be downloaded", remedy, environment=environment)
    for deb in (state / "archives").glob("*.deb"):
        deb.rename(root / deb.name)
    shutil.rmtree(state)
