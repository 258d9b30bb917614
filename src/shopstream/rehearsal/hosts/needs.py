"""What a machine must have to stand up guests, and how to say that it lacks it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shopstream.errors import RehearsalError

# tool: the Debian package that holds it
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "sysctl": "procps",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "ssh": "openssh-client",
}
_SYSTEMS = {"debian", "ubuntu"}


def lacking(*, system: str, uid: int, os_release: str, missing: set[str]) -> list[str]:
    """What stands in the way, a sentence each. Pure.

    Args:
        system: As `uname -s` says it.
        uid: The user's id.
        os_release: The text of /etc/os-release.
        missing: The tools that are not there.
    """
    fields = dict(line.partition("=")[::2] for line in os_release.splitlines() if "=" in line)
    names = {fields.get("ID", "").strip('"'), *fields.get("ID_LIKE", "").strip('"').split()}
    if system != "Linux" or not names & _SYSTEMS:
        found = fields.get("PRETTY_NAME", "").strip('"') or system
        return [
            (
                f"booted stand-ins for EC2 need Debian 12 or Ubuntu, and this is {found}: use a virtual machine "
                "with one of them and 8 GB of memory (for example `multipass launch --memory 8G --disk 20G`)"
            )
        ]
    problems = []
    if uid != 0:
        problems.append(
            "it takes root to boot machines, and this is user id "
            f'{uid}: run it as root, for example `sudo -E env "PATH=$PATH" shopstream rehearse hosts up`'
        )
    if missing:
        packages = sorted({TOOLS[tool] for tool in missing})
        problems.append(f"{', '.join(sorted(missing))} cannot be found: `apt-get install {' '.join(packages)}`")
    return problems


def require() -> None:
    """Make sure that this machine can stand up guests.

    Raises:
        RehearsalError: It cannot; the text has all that stands in the way.
    """
    release = Path("/etc/os-release")
    problems = lacking(
        system=os.uname().sysname,
        uid=os.geteuid(),
        os_release=release.read_text(encoding="utf-8") if release.is_file() else "",
        missing={tool for tool in TOOLS if shutil.which(tool) is None},
    )
    if problems:
        raise RehearsalError("\n".join(problems))


def require_root() -> None:
    """Make sure that guests can be seen and cleared away, for which root is enough.

    Raises:
        RehearsalError: This is not root.
    """
    if os.geteuid() != 0:
        raise RehearsalError(
            f"only root sees the rehearsal's machines, and this is user id {os.geteuid()}: use sudo -E"
        )
