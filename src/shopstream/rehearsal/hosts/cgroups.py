"""The guests' cgroups: limits, freezing, accounting, and who runs in them. For version 1 (and its hybrid) and 2."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts.guest import Joining

# What a guest needs of its own with version 1: its systemd would otherwise write into the cgroups of this machine.
_V1 = ("memory", "cpu", "cpuacct", "freezer", "pids", "name=systemd")
_V1_NEEDED = ("memory", "freezer", "name=systemd")
_V2_NEEDED = ("memory",)
_V2_WANTED = ("memory", "pids", "cpu")
_UNIFIED = "unified"
_FREEZE_S = 10.0


@dataclass(frozen=True)
class Hierarchies:
    """Where this machine's cgroups are mounted.

    Attributes:
        v2: Whether memory is limited by version 2.
        mounts: By controller for version 1, with "unified" for a hybrid's version 2; only "unified" for version 2.
    """

    v2: bool
    mounts: dict[str, Path]

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every mount once."""
        return tuple(dict.fromkeys(self.mounts.values()))


def hierarchies(mounts: str, controllers: str) -> Hierarchies:
    """Understand what is mounted. Pure.

    Args:
        mounts: The text of /proc/self/mounts.
        controllers: The text of cgroup.controllers at the mount of version 2; empty when there is none.

    Raises:
        RehearsalError: Memory cannot be limited here, or not frozen.
    """
    found: dict[str, Path] = {}
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault(_UNIFIED, Path(place))
        elif kind == "cgroup":
            for option in options.split(","):
                if option in _V1:
                    found.setdefault(option, Path(place))
    if _UNIFIED in found and set(_V2_NEEDED) <= set(controllers.split()):
        return Hierarchies(v2=True, mounts={_UNIFIED: found[_UNIFIED]})
    if missing := [name for name in _V1_NEEDED if name not in found]:
        raise RehearsalError(
            f"no cgroup controller for {', '.join(missing)} is mounted below /sys/fs/cgroup: machines with a memory "
            "limit need them; in a container, start it with --privileged and --cgroupns=host"
        )
    return Hierarchies(v2=False, mounts=found)


def find() -> Hierarchies:
    """What is mounted on this machine.

    Raises:
        RehearsalError: As for `hierarchies`.
    """
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    unified = next((line.split()[1] for line in mounts.splitlines() if line.split()[2] == "cgroup2"), None)
    controllers = ""
    if unified:
        with contextlib.suppress(OSError):
            controllers = (Path(unified) / "cgroup.controllers").read_text(encoding="utf-8")
    return hierarchies(mounts, controllers)


@dataclass(frozen=True)
class Usage:
    """What a guest takes.

    Attributes:
        used: Memory in bytes without the files' cache that could be dropped at once.
        cached: That cache.
        limit: All that it may take, in bytes; 0 when there is no limit.
        oom_kills: How many of its processes the kernel killed for want of memory.
    """

    used: int
    cached: int
    limit: int
    oom_kills: int


@dataclass(frozen=True)
class Group:
    """One rehearsal's cgroup (name without slash), or a guest's below it. Making this object touches nothing."""

    hierarchies: Hierarchies
    name: str

    def child(self, name: str) -> Group:
        """The cgroup of that name within this one."""
        return Group(self.hierarchies, f"{self.name}/{name}")

    @property
    def directories(self) -> tuple[Path, ...]:
        """Its directory in each hierarchy."""
        return tuple(root / self.name for root in self.hierarchies.roots)

    def limit(self, memory: int) -> Joining:
        """Make it, with a limit, for a guest.

        Args:
            memory: In bytes.

        Returns:
            How the guest's processes get in.

        Raises:
            RehearsalError: The system refuses.
        """
        try:
            if self.hierarchies.v2:
                return self._limit_v2(memory)
            for directory in self.directories:
                directory.mkdir(parents=True, exist_ok=True)
            home = self._in("memory")
            _write(home / "memory.limit_in_bytes", memory)
            # Without swap, as on EC2. Kernels that do not account for swap lack the file.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _write(home / "memory.memsw.limit_in_bytes", memory)
            return Joining(tuple(directory / "cgroup.procs" for directory in self.directories))
        except OSError as error:
            raise RehearsalError(
                f"the cgroup {self.name} cannot be made ({error}): machines with a memory limit need a writable "
                "/sys/fs/cgroup; in a container, start it with --privileged and --cgroupns=host"
            ) from error

    def _limit_v2(self, memory: int) -> Joining:
        (root,) = self.hierarchies.roots
        available = (root / "cgroup.controllers").read_text(encoding="utf-8").split()
        enable = " ".join(f"+{name}" for name in _V2_WANTED if name in available)
        (guest,) = self.directories
        guest.mkdir(parents=True, exist_ok=True)
        for parent in (root, guest.parent, guest):
            _write(parent / "cgroup.subtree_control", enable)
        _write(guest / "memory.max", memory)
        with contextlib.suppress(FileNotFoundError):
            _write(guest / "memory.swap.max", 0)
        for each in ("supervisor", "machine"):
            (guest / each).mkdir(exist_ok=True)
        _write(guest / "machine" / "cgroup.subtree_control", enable)
        return Joining((guest / "supervisor" / "cgroup.procs",), guest / "machine")

    def joins(self) -> tuple[Path, ...]:
        """The files that a process writes its pid to, to be counted and frozen with the guest."""
        inner = "supervisor/cgroup.procs" if self.hierarchies.v2 else "cgroup.procs"
        return tuple(directory / inner for directory in self.directories)

    def tree(self) -> list[Path]:
        """All its directories that exist, the innermost first."""
        return [Path(path) for directory in self.directories for path, _, _ in os.walk(directory, topdown=False)]

    def pids(self) -> set[int]:
        """Who runs in it, or below."""
        found: set[int] = set()
        for directory in self.tree():
            # A cgroup may vanish while it is looked at, and a threaded one has no such list.
            with contextlib.suppress(OSError):
                found.update(map(int, (directory / "cgroup.procs").read_text(encoding="utf-8").split()))
        return found - {0}

    def usage(self) -> Usage:
        """What it takes now. Zeros when it does not exist."""
        home = self._in("memory")
        if self.hierarchies.v2:
            whole = _number(home / "memory.current")
            cached = _field(home / "memory.stat", "inactive_file")
            return Usage(
                whole - cached, cached, _number(home / "memory.max"), _field(home / "memory.events", "oom_kill")
            )
        whole = _number(home / "memory.usage_in_bytes")
        cached = _field(home / "memory.stat", "total_inactive_file")
        # Version 1 counts for each cgroup alone, and the guest's systemd divides its own.
        kills = sum(_field(Path(path) / "memory.oom_control", "oom_kill") for path, _, _ in os.walk(home))
        return Usage(whole - cached, cached, _number(home / "memory.limit_in_bytes"), kills)

    @property
    def frozen(self) -> bool:
        """Whether its processes stand still."""
        if self.hierarchies.v2:
            return _field(self._in("freezer") / "cgroup.events", "frozen") == 1
        return _text(self._in("freezer") / "freezer.state") == "FROZEN"

    def freeze(self) -> None:
        """Let its processes stand still, and wait until they do.

        Raises:
            RehearsalError: They still run after ten seconds.
        """
        self._set_frozen(wanted=True)
        deadline = time.monotonic() + _FREEZE_S
        while not self.frozen:
            if time.monotonic() > deadline:
                self._set_frozen(wanted=False)
                raise RehearsalError(f"the cgroup {self.name} did not freeze within {_FREEZE_S:.0f} s: try again")
            time.sleep(0.01)

    def thaw(self) -> None:
        """Let them go on."""
        self._set_frozen(wanted=False)

    def _set_frozen(self, *, wanted: bool) -> None:
        home = self._in("freezer")
        with contextlib.suppress(FileNotFoundError):  # then nobody is in it
            if self.hierarchies.v2:
                _write(home / "cgroup.freeze", int(wanted))
            else:
                _write(home / "freezer.state", "FROZEN" if wanted else "THAWED")

    def remove(self) -> None:
        """Remove it with all that lies below. What still holds a process stays."""
        for directory in self.tree():
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _in(self, controller: str) -> Path:
        return self.hierarchies.mounts[_UNIFIED if self.hierarchies.v2 else controller] / self.name


def _write(path: Path, value: object) -> None:
    # Opened without O_CREAT: in a cgroup file system a missing file means a missing feature.
    with path.open("r+", encoding="utf-8") as file:
        file.write(str(value))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0


def _field(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0
