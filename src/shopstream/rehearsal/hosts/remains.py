"""What is left of a rehearsal on this machine: looked for everywhere it could be, and cleared away.

Nothing that was written down is trusted: all is found by the rehearsal's tag, or by the namespace it lives in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts import processes
from shopstream.rehearsal.hosts.cgroups import Group, Hierarchies
from shopstream.rehearsal.hosts.namespace import Namespace
from shopstream.rehearsal.hosts.plan import PREFIX

if TYPE_CHECKING:
    from shopstream.rehearsal.hosts.state import State

_KILL_S = 20.0


@dataclass(frozen=True)
class Remains:
    """What was looked at, and what was found there.

    Attributes:
        places: "what was looked at": the findings.
    """

    places: dict[str, list[str]]

    def __bool__(self) -> bool:
        return any(self.places.values())

    def lines(self) -> list[str]:
        """A line for each place."""
        width = max(map(len, self.places))
        return [
            f"{place.ljust(width)}  {len(found) or 'none'}{': ' + ', '.join(found[:5]) if found else ''}"
            for place, found in self.places.items()
        ]


def look(state: State, found: Hierarchies) -> Remains:
    """Look, and touch nothing."""
    group, namespace = _names(state, found)
    others = _others(namespace)
    where = f"{len(found.roots)} hierarchies" if len(found.roots) > 1 else "the hierarchy"
    return Remains(
        {
            f"processes in the cgroups {group.name}": _tell(group.pids()),
            f"processes in the network namespace {namespace.name}": _tell(_in_network(namespace)),
            f"namespaces {namespace.name}-*, with their processes": [
                each for other in others for each in (str(other.path), *_tell(_in_network(other)))
            ],
            f"processes at work in {state.root}": _tell(_supervisors(state)),
            f"cgroups {group.name} in {where} of cgroups": [str(each) for each in group.tree()],
            f"{namespace.path} (with bridge, links, nftables)": [str(namespace.path)]
            if os.path.lexists(namespace.path)
            else [],
            f"links ss-{state.tag}, vb-{state.tag}-* out here": _links(state),
            f"mounts below {state.root}, in any mount namespace": processes.mounts_below(state.root),
            "SSH's shared connections": [str(state.sockets)] if os.path.lexists(state.sockets) else [],
            f"guests' files in {state.guests}": [each.name for each in state.guests.glob("*")],
        }
    )


def clear(state: State, found: Hierarchies) -> Remains:
    """End, unmount and delete all of it. Can be repeated after any interruption.

    Returns:
        What a look around finds afterwards: nothing.

    Raises:
        RehearsalError: Something withstands.
    """
    group, namespace = _names(state, found)
    others = _others(namespace)
    if os.getpid() in _in_network(namespace):
        raise RehearsalError("this command runs in the rehearsal that it would clear away: run it outside")

    def gone() -> bool:
        pids = group.pids() | _supervisors(state)
        for each in (namespace, *others):
            pids |= _in_network(each)
        processes.kill(pids)
        for path in group.tree():
            Group(found, str(path.relative_to(_root_of(path, found)))).thaw()  # with version 1 the frozen die only then
        return not pids

    if not processes.wait_until(gone, _KILL_S):
        raise RehearsalError(
            "processes do not end by SIGKILL (a disk that hangs?): look with `ps -o pid,stat,cmd`, and repeat "
            "`shopstream rehearse hosts down`\n" + "\n".join(look(state, found).lines())
        )
    for each in (namespace, *others):
        each.delete()
    processes.wait_until(lambda: not _removed(group), 5.0)
    for line in processes.mounts_below(state.root):
        subprocess.run(["umount", "--lazy", line.rsplit(" (pid", 1)[0]], capture_output=True, check=False)
    shutil.rmtree(state.sockets, ignore_errors=True)  # now that nobody can make it anew
    state.delete()
    after = look(state, found)
    if after:
        raise RehearsalError("this is left, repeat `shopstream rehearse hosts down`:\n" + "\n".join(after.lines()))
    return after


def _names(state: State, found: Hierarchies) -> tuple[Group, Namespace]:
    return Group(found, f"{PREFIX}{state.tag}"), Namespace(f"{PREFIX}{state.tag}")


def _others(namespace: Namespace) -> list[Namespace]:
    """Those of functions, which hang on the same bridge."""
    return Namespace.below(f"{namespace.name}-")


def _in_network(namespace: Namespace) -> set[int]:
    identity = namespace.identity
    return processes.in_network(identity) if identity else set()


def _root_of(path: Path, found: Hierarchies) -> Path:
    return next(root for root in found.roots if path.is_relative_to(root))


def _removed(group: Group) -> list[Path]:
    group.remove()
    return group.tree()


def _supervisors(state: State) -> set[int]:
    """Supervisors that have not reached a cgroup or the namespace yet: those whose command line names the guests."""
    import psutil

    found = set()
    prefix = f"{state.guests}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if any(part.startswith(prefix) for part in line[-2:]) and "sh" in line:
                found.add(process.pid)
    return found - {os.getpid()}


def _tell(pids: set[int]) -> list[str]:
    import psutil

    told = []
    for pid in sorted(pids):
        with contextlib.suppress(psutil.Error):
            told.append(f"{pid} ({psutil.Process(pid).name()})")
    return told


def _links(state: State) -> list[str]:
    names = (f"ss-{state.tag}", f"vb-{state.tag}-")
    return [link.name for link in Path("/sys/class/net").iterdir() if link.name.startswith(names)]
