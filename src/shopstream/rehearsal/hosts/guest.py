"""A guest on paper: the files laid over its image, the command that boots it, the loop that keeps it. Pure."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.rehearsal.hosts import network

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.rehearsal.hosts.plan import Guest, Plan

REBOOT = 133
"""systemd-nspawn's exit code when the guest asked for a reboot."""

NSPAWN = "/run/systemd/nspawn"
"""Where systemd-nspawn keeps what it shares with others of its kind."""


@dataclass(frozen=True)
class File:
    """A file for a guest.

    Attributes:
        text: What it holds.
        mode: Its permissions.
        owner: "root", or the login that the file belongs to, with the directory that it lies in.
    """

    text: str
    mode: int = 0o644
    owner: str = "root"


@dataclass(frozen=True)
class Joining:
    """How a process gets into the guest's cgroups.

    Attributes:
        supervisor: Files that the supervisor writes its pid to, before anything else.
        fresh: With cgroup v2, the directory below which every boot gets a cgroup of its own; else None.
    """

    supervisor: tuple[Path, ...]
    fresh: Path | None = None


def files(
    plan: Plan, guest: Guest, *, authorized_keys: str, host_key: str, home: str, packages: str
) -> dict[str, File]:
    """What a guest has beyond its image: addresses, names, keys, and where packages come from, by path.

    Args:
        plan: All machines.
        guest: This one.
        authorized_keys: Who may log in.
        host_key: Its SSH private key in OpenSSH's form.
        home: The home directory of the account that Ansible logs in with.
        packages: Its sources.list.
    """
    return {
        "/etc/hostname": File(f"{guest.name}\n"),
        "/etc/hosts": File(f"127.0.0.1 localhost\n127.0.1.1 {guest.name}\n::1 localhost ip6-localhost\n"),
        "/etc/machine-id": File(hashlib.md5(guest.machine.encode(), usedforsecurity=False).hexdigest() + "\n"),
        "/etc/systemd/network/10-host0.network": File(network.networkd(plan, guest)),
        "/etc/apt/sources.list": File(packages),
        "/etc/ssh/ssh_host_ed25519_key": File(host_key, 0o600),
        f"{home}/.ssh/authorized_keys": File(authorized_keys, 0o600, plan.user),
    }


def nspawn(plan: Plan, guest: Guest, root: Path) -> list[str]:
    """The command that boots a guest whose file system is mounted at `root`."""
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        "--boot",
        f"--machine={guest.machine}",
        f"--hostname={guest.name}",
        "--register=no",
        "--keep-unit",
        f"--network-bridge={plan.bridge}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--capability=CAP_NET_ADMIN",
    ]


def supervisor(plan: Plan, guest: Guest, *, image: Path, directory: Path, joining: Joining) -> str:
    """The shell script that mounts a guest's file system, boots it, and boots it again when it asks for that.

    It runs in a mount namespace of its own: its mounts are gone when it and the guest are. Any other end of the guest
    (shut down, crashed, killed) is the end of the script.

    Args:
        plan: All machines.
        guest: This one.
        image: The sealed base, which stays as it is.
        directory: The guest's own: upper, work and root lie in it.
        joining: How it gets into its cgroups.
    """
    root = directory / "root"
    overlay = f"lowerdir={image},upperdir={directory / 'upper'},workdir={directory / 'work'}"
    # systemd-nspawn ends with this shell. The guest itself may live on, as an orphan that `status` tells of.
    boot = ["setpriv", "--pdeathsig", "KILL", *nspawn(plan, guest, root)]
    lines = ["set -eu"]
    lines += [f"echo $$ > {shlex.quote(str(path))}" for path in joining.supervisor]
    # systemd-nspawn keeps locks and directories there, and leaves them when it is killed: these go with the mount.
    lines.append(f"mount -t tmpfs tmpfs -o mode=0755,X-mount.mkdir {NSPAWN}")
    lines += [shlex.join(["mount", "-t", "overlay", "overlay", "-o", overlay, str(root)]), "boots=0", "while :; do"]
    lines.append("  code=0")
    if joining.fresh is None:
        lines.append(f"  {shlex.join(boot)} || code=$?")
    else:
        # A cgroup that systemd-nspawn has divided takes no process any more, so each boot gets a new one. The guest
        # sees only what lies below "payload": the limit must stand there too, or Java takes the machine's memory.
        fresh = shlex.quote(str(joining.fresh))
        lines += [
            "  boots=$((boots + 1))",
            f"  mkdir {fresh}/boot$boots",
            f"  limit={fresh}/boot$boots/payload/memory.max",
            f'  (until echo {guest.memory} > "$limit"; do sleep 0.05; done) 2> /dev/null &',
            "  limiter=$!",
            f'  sh -c \'echo $$ > "$0/cgroup.procs"; exec "$@"\' {fresh}/boot$boots {shlex.join(boot)} || code=$?',
            '  kill "$limiter" 2> /dev/null || true',
        ]
    lines += [f"  [ $code -eq {REBOOT} ] || exit $code", "done"]
    return "\n".join(lines) + "\n"
