"""The copy of the checkout that is deployed: a rehearsal must not touch the state of a real deployment beside it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DIRECTORIES = ("infra", "services", "src", "scripts")
_HIDDEN = ("__pycache__", ".terraform*", "terraform.tfstate*", ".shopstream", "inventory.ini", "known_hosts",
           "*.tfvars", "*.tfvars.json", "backend_override.tf")  # fmt: skip
"""What belongs to a deployment, and not to the project."""
_MADE = ("inventory.ini", "known_hosts")
"""What a deployment writes among the playbooks."""


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


@dataclass(frozen=True)
class Compared:
    """What was deployed, beside what the checkout has.

    Attributes:
        same: How many files are byte for byte the same.
        different: Those that are not.
    """

    same: int
    different: tuple[str, ...]

    def line(self) -> str:
        """For people."""
        if not self.different:
            return f"{self.same}, byte for byte those of the checkout"
        return f"{self.same} as in the checkout, not so: {', '.join(self.different)}"


def compare(source: Path, site: Path) -> Compared:
    """Compare the site's `infra` and topology with the checkout's, byte by byte."""
    files = [site / "topology.yaml", *(site / "infra").rglob("*.tf"), *(site / "infra" / "ansible").rglob("*")]
    names = {
        path.relative_to(site)
        for path in files
        if path.is_file() and path.name not in _MADE and "__pycache__" not in path.parts
    }
    different = sorted(
        str(name) for name in names if not (source / name).is_file() or digest(site / name) != digest(source / name)
    )
    return Compared(len(names) - len(different), tuple(different))


def digest(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
