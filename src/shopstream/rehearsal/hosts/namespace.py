"""The network namespace that guests and operator share: made, entered, and taken away."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_NETWORK = 0x40000000  # CLONE_NEWNET
_HOME = Path("/run/shopstream")
"""Not ip(8)'s own /run/netns: whoever calls it first mounts that directory over itself, and what lay there cannot be
taken away any more."""


@dataclass(frozen=True)
class Namespace:
    """A network namespace by name. Making this object touches nothing."""

    name: str

    @property
    def path(self) -> Path:
        """Where nsenter(1) finds it."""
        return _HOME / self.name

    @property
    def identity(self) -> tuple[int, int] | None:
        """What /proc/PID/ns/net of its processes is: device and inode. None when it does not exist."""
        with contextlib.suppress(OSError):
            status = self.path.stat()
            if self._mounted():
                return status.st_dev, status.st_ino
        return None

    def entering(self, command: Sequence[str]) -> list[str]:
        """The same command, within.

        `ip netns exec` would hide /sys/fs/cgroup, which systemd-nspawn needs.
        """
        return ["nsenter", f"--net={self.path}", "--", *command]

    def create(self) -> None:
        """Make it.

        Raises:
            RehearsalError: The system refuses.
        """
        _HOME.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        checked(["unshare", f"--net={self.path}", "--", "true"], "make a network namespace")

    def call(self, function: Callable[[], T]) -> T:
        """Call a function whose sockets shall be within. It runs in a thread of its own, which is there for this alone.

        Raises:
            RehearsalError: There is no such namespace.
            Exception: What the function raises.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                self._join()
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again, where it is waited for
                errors.append(error)

        thread = threading.Thread(target=inside, name=f"within {self.name}", daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _join(self) -> None:
        """Let this thread, and no other of the process, be in it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise RehearsalError(f"there is no network namespace {self.name}: {error.strerror}") from error
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, _NETWORK) != 0:
                raise RehearsalError(f"cannot enter {self.name}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)

    @staticmethod
    def below(prefix: str) -> list[Namespace]:
        """All that are there and whose names begin so."""
        return [Namespace(path.name) for path in sorted(_HOME.glob(f"{prefix}*"))]

    def run(self, command: Sequence[str], purpose: str, *, text: str | None = None) -> None:
        """Run a command within.

        Args:
            command: What to run.
            purpose: For the message, after "cannot".
            text: Its standard input.

        Raises:
            RehearsalError: It failed.
        """
        checked(self.entering(command), purpose, text=text)

    def delete(self) -> None:
        """Take its name away; it is gone with its last process."""
        for _ in range(8):  # an interrupted `up` may have mounted it more than once
            if not self._mounted():
                break
            subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, check=False)
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(OSError):
            _HOME.rmdir()  # if it was made for this one alone

    def _mounted(self) -> bool:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        return any(line.split()[1] == str(self.path) for line in mounts.splitlines())


def checked(command: Sequence[str], purpose: str, *, text: str | None = None) -> None:
    """Run a command.

    Raises:
        RehearsalError: It failed; the text has what it said.
    """
    done = subprocess.run(list(command), input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RehearsalError(
            f"cannot {purpose}: `{' '.join(command)}` ended with {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()}"
        )
