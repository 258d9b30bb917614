"""The state directory: what lies where, and who may read it.

    .shopstream/            or $SHOPSTREAM_HOME
    ├── cluster.json        brokers, ports and cluster id, remembered from the first `up`
    ├── guard               locked while an `up` or a `down` is at work
    ├── cache/              Kafka's jars and the JVM's cache: kept by `down --wipe`, safe to delete when stopped
    ├── tls/                ca.pem, one PEM file with key and certificate for each broker
    ├── clients/            <user>.properties: how to connect as that user, password included
    └── brokers/<id>/       server.properties, server.log, pid, data/

Directories are 0700, and whatever holds a key or a password is 0600.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.cluster.layout import Layout
from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "SHOPSTREAM_HOME"


@dataclass(frozen=True)
class Home:
    """The paths below one state directory. Making one touches nothing."""

    root: Path

    @property
    def layout(self) -> Path:
        """cluster.json."""
        return self.root / "cluster.json"

    @property
    def guard(self) -> Path:
        """The file that `up` and `down` lock."""
        return self.root / "guard"

    @property
    def cache(self) -> Path:
        """What can be downloaded or computed again."""
        return self.root / "cache"

    @property
    def tls(self) -> Path:
        """Certificates and the brokers' keys."""
        return self.root / "tls"

    @property
    def ca(self) -> Path:
        """The certificate that clients must trust."""
        return self.tls / "ca.pem"

    @property
    def clients(self) -> Path:
        """Where the users' properties files lie."""
        return self.root / "clients"

    @property
    def brokers(self) -> Path:
        """All that the brokers own: wiping the cluster is deleting this."""
        return self.root / "brokers"

    def broker(self, node: int) -> Path:
        """The directory of one broker."""
        return self.brokers / str(node)

    def properties(self, user: str) -> Path:
        """The client properties file of one user, whether it exists or not."""
        return self.clients / f"{user}.properties"

    def create(self) -> None:
        """Make the directories, readable by their owner only.

        Raises:
            ClusterError: The place is not writable.
        """
        try:
            for directory in (self.root, self.cache, self.tls, self.clients, self.brokers):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if directory is not self.root:
                    directory.chmod(0o700)
            if not os.access(self.root, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise ClusterError(
                f"the state directory {self.root} cannot be used ({error.strerror}): "
                f"choose another one with {VARIABLE}, or mend its permissions"
            ) from error

    def read_layout(self) -> Layout | None:
        """The remembered cluster, or None when there is none.

        Raises:
            ClusterError: cluster.json is damaged.
        """
        try:
            return Layout.from_json(self.layout.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"{self.layout} cannot be read ({error}): restore it, or start afresh with `shopstream down --wipe`"
            ) from error


def find(environ: Mapping[str, str], directory: Path) -> Home:
    """The state directory that the environment names, or `.shopstream` in `directory`."""
    named = environ.get(VARIABLE)
    return Home((Path(named) if named else directory / ".shopstream").expanduser().absolute())


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all.

    Args:
        path: The file; replaced when it exists.
        text: What it shall hold.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
