"""The copy of the checkout that is deployed: a rehearsal must not touch the state of a real deployment beside it."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DIRECTORIES = ("infra", "services", "src", "scripts")
_HIDDEN = ("__pycache__", ".terraform", "terraform.tfstate*", ".shopstream", "inventory.ini", "known_hosts", "*.tfvars",
           "*.tfvars.json", "backend_override.tf")  # fmt: skip
"""What belongs to a deployment, and not to the project."""


def make(source: Path, site: Path) -> int:
    """Copy what is deployed.

    Args:
        source: The checkout.
        site: Where to; what is there is replaced.

    Returns:
        How many files were copied.
    """
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    for name in _DIRECTORIES:
        shutil.copytree(source / name, site / name, ignore=shutil.ignore_patterns(*_HIDDEN))
    for path in [source / "topology.yaml", *source.glob("requirements*.txt")]:
        shutil.copyfile(path, site / path.name)
    wheels = source / "build" / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    (site / "build").mkdir()
    (site / "build" / "wheels").symlink_to(wheels)
    return sum(1 for path in site.rglob("*") if path.is_file())


def differences(source: Path, site: Path) -> list[str]:
    """The files of the site's `infra` and topology that are not, byte for byte, those of the checkout."""
    wanted = [site / "topology.yaml", *(site / "infra").rglob("*.tf"), *(site / "infra" / "ansible").rglob("*")]
    return sorted(
        str(path.relative_to(site))
        for path in wanted
        if path.is_file()
        and path.name not in {"inventory.ini", "known_hosts"}
        and (not (source / path.relative_to(site)).is_file() or digest(path) != digest(source / path.relative_to(site)))
    )


def digest(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
