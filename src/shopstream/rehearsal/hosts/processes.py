"""Looking at processes through /proc: who is in a namespace, who is a guest's init, and ending them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_PROC = Path("/proc")


def in_network(namespace: tuple[int, int]) -> set[int]:
    """The processes of a network namespace.

    Args:
        namespace: Its device and inode.
    """
    found = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            status = (_PROC / str(pid) / "ns/net").stat()
            if (status.st_dev, status.st_ino) == namespace:
                found.add(pid)
    return found


def init_among(pids: Iterable[int]) -> int | None:
    """The init of a guest: the process that is number 1 in the pid namespace just below this one.

    Args:
        pids: Those of the guest's cgroup.
    """
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines():
                if line.startswith("NSpid:"):
                    if line.split()[1:] == [str(pid), "1"]:
                        return pid
                    break
    return None


def any_named(name: str, pids: Iterable[int]) -> bool:
    """Whether one of the processes has this name."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).name() == name:
                return True
    return False


def age(pid: int) -> float | None:
    """For how many seconds a process has been running; None when it is gone."""
    try:
        return max(0.0, time.time() - psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def detach(command: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
    """Start a program that is nobody's child and outlives this one.

    Args:
        command: What to run.
        log: What it says is added to this file.
        environ: Its environment.
    """
    with log.open("ab") as file:
        subprocess.run(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environ),
            cwd="/",
            check=True,
        )


def kill(pids: Iterable[int]) -> None:
    """SIGKILL them; those that are gone, are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def mounts_below(directory: Path) -> list[str]:
    """Mounts at or below a directory, in every mount namespace that a process lives in.

    Returns:
        "PATH (pid N)" each.
    """
    prefix = str(directory)
    seen: set[int] = set()
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            space = (_PROC / str(pid) / "ns/mnt").stat().st_ino
            if space in seen:
                continue
            seen.add(space)
            for line in (_PROC / str(pid) / "mounts").read_text(encoding="utf-8").splitlines():
                place = line.split()[1]
                if place == prefix or place.startswith(f"{prefix}/"):
                    found.append(f"{place} (pid {pid})")
    return found


def wait_until(done: Callable[[], bool], seconds: float, *, pause: float = 0.02) -> bool:
    """Whether something came true in time.

    Args:
        done: Whether it is true now.
        seconds: The time.
        pause: Seconds from one question to the next.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
