"""What a rehearsal's machines keep on disk, and the lock that lets one command at a time change them.

    rehearsal/              below the state directory
    ├── lock                locked while a command changes the machines
    ├── hosts.json          plan and image; made before anything else, so that a later `down` knows what was begun
    ├── inventory.ini       a copy of the inventory, with known_hosts beside it
    ├── key, key.pub        who may log in on the guests
    ├── variables.json      what Ansible is told beyond the inventory: where the supplies are served
    ├── operator.json       the environment of a program that shall talk to what stands in for AWS
    ├── *.log               of the operator's services
    └── guests/<name>/      upper and work (its file system beyond the image), root (where it is mounted), console.log

A crash of a guest keeps its upper directory; `down` deletes all but the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.hosts.plan import Plan, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.errors import ShopstreamError


@contextlib.contextmanager
def locked(path: Path, refused: Callable[[str], ShopstreamError]) -> Iterator[None]:
    """Hold a lock, or refuse at once. The system frees it when the process ends, however it ends.

    Args:
        path: The file; it is made when it does not exist, stays, and has the holder's pid.
        refused: Makes the error of that pid, when another process holds it.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise refused(file.read() or "unknown") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@dataclass(frozen=True)
class Record:
    """What hosts.json says.

    Attributes:
        plan: All machines.
        image: The base that their file systems lie over.
        complete: Whether an `up` reached its end.
        began: When, in seconds since the epoch.
        ground: Whether the ground is laid: network, supplies, what stands in for AWS.
    """

    plan: Plan
    image: str
    complete: bool
    began: float
    ground: bool = False


@dataclass(frozen=True)
class State:
    """The paths below one rehearsal's directory, which must be absolute. Making this object touches nothing."""

    root: Path

    @property
    def tag(self) -> str:
        """What all that belongs to this rehearsal carries in its name."""
        return tag_of(self.root)

    @property
    def inventory(self) -> Path:
        """The inventory's copy."""
        return self.root / "inventory.ini"

    @property
    def known_hosts(self) -> Path:
        """The guests' SSH keys."""
        return self.root / "known_hosts"

    @property
    def key(self) -> Path:
        """The private key that opens the guests."""
        return self.root / "key"

    @property
    def public_key(self) -> Path:
        """The public one, which the guests know."""
        return self.root / "key.pub"

    @property
    def variables(self) -> Path:
        """Ansible's extra variables."""
        return self.root / "variables.json"

    @property
    def operator(self) -> Path:
        """The operator's environment, written when the operator's services are ready."""
        return self.root / "operator.json"

    @property
    def guests(self) -> Path:
        """All that the guests have written."""
        return self.root / "guests"

    @property
    def sockets(self) -> Path:
        """SSH's shared connections. Their names may have 104 characters: they lie apart from a deep state directory."""
        return Path(f"/tmp/ss-{self.tag}")  # noqa: S108 - Ansible makes it 0700

    def guest(self, name: str) -> Path:
        """The directory of one guest."""
        return self.guests / name

    def console(self, name: str) -> Path:
        """What the guest said on its console."""
        return self.guest(name) / "console.log"

    def create(self) -> None:
        """Make the directory, for its owner only.

        Raises:
            UsageError: Its path cannot be told to mount(8).
        """
        if bad := sorted(set(":,\\\"' \n") & set(str(self.root))):
            raise UsageError(
                f"the path {self.root} contains {' and '.join(map(repr, bad))}, which an overlay mount cannot take: "
                "choose another place with SHOPSTREAM_HOME"
            )
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock. The system frees it when the process ends, however it ends.

        Raises:
            RehearsalError: Another command holds it.
        """
        self.create()

        def refused(pid: str) -> RehearsalError:
            return RehearsalError(
                f"another `shopstream rehearse hosts` command (pid {pid}) is changing the machines of {self.root}: "
                "try again when it is done"
            )

        with locked(self.root / "lock", refused):
            yield

    def write(self, record: Record) -> None:
        """Remember."""
        data = {
            "plan": record.plan.to_data(),
            "image": record.image,
            "complete": record.complete,
            "began": record.began,
            "ground": record.ground,
        }
        write_private(self.root / "hosts.json", json.dumps(data, indent=2) + "\n")

    def read(self) -> Record | None:
        """What is remembered; None when there is nothing.

        Raises:
            RehearsalError: hosts.json is damaged.
        """
        path = self.root / "hosts.json"
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return Record(
                Plan.from_data(data["plan"]),
                str(data["image"]),
                bool(data["complete"]),
                float(data["began"]),
                bool(data.get("ground", False)),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RehearsalError(
                f"{path} cannot be read ({error}): `shopstream rehearse hosts down` clears everything without it"
            ) from error

    def environment(self) -> dict[str, str]:
        """What the operator's programs have in their environment beyond their own."""
        try:
            data: dict[str, str] = json.loads(self.operator.read_text(encoding="utf-8"))["environment"]
        except (OSError, ValueError, KeyError):
            return {}
        return data

    def forget_guests(self) -> None:
        """Delete the guests' files, when none of them runs."""
        shutil.rmtree(self.guests, ignore_errors=True)

    def delete(self) -> None:
        """Delete all but the lock."""
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
