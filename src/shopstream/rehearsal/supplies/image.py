"""The sealed base of every guest: a minimal Debian as EC2's images have it, with SSH and a user `admin`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from shopstream.rehearsal.supplies import mirror
from shopstream.rehearsal.supplies.building import built, digest, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shopstream.rehearsal.supplies.repository import Signer

USER = "admin"
KEY = "/usr/share/keyrings/shopstream-rehearsal.asc"
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "openssh-server", "iproute2", "iputils-ping"),
    *("sudo", "ca-certificates", "procps", "acl", "libnss-myhostname"),
)
_ENABLED = ("systemd-networkd.service", "ssh.service", "host-keys.service")
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("systemd-networkd-wait-online.service", "systemd-timesyncd.service", "console-getty.service"),
)
# What an image of EC2 gets from cloud-init at its first boot.
_HOST_KEYS = """\
[Unit]
Description=SSH host key of this machine
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=multi-user.target
"""
_FILES = {
    "etc/systemd/system/host-keys.service": _HOST_KEYS,
    f"etc/sudoers.d/90-{USER}": f"{USER} ALL=(ALL) NOPASSWD:ALL\n",
    "etc/machine-id": "",
    "etc/hostname": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/apt/sources.list": "",
    # A guest lives for a rehearsal: waiting for the disk at each file that dpkg unpacks would be for nothing.
    "etc/dpkg/dpkg.cfg.d/unsafe-io": "force-unsafe-io\n",
    "etc/apt/apt.conf.d/90rehearsal": 'Acquire::Languages "none";\nAcquire::Retries "2";\n',
}


def recipe(signer: Signer) -> dict[str, object]:
    """All that decides what comes out."""
    return {
        "version": 1,
        "release": mirror.RELEASE,
        "packages": _PACKAGES,
        "enabled": _ENABLED,
        "masked": _MASKED,
        "files": _FILES,
        "key": signer.public,
    }


def image(cache: Path, signer: Signer, sources: Sequence[mirror.Source], progress: Callable[[str], None]) -> Path:
    """The root directory of the base; built, in about a minute, when there is none.

    Args:
        cache: Where supplies are kept.
        signer: Whose packages the guests shall trust.
        sources: Where Debian comes from.
        progress: Told in a line when it must be built.

    Raises:
        RehearsalError: debootstrap failed.
    """

    def build(root: Path) -> None:
        progress("building the guests' base image (about a minute, once)")
        _bootstrap(root, sources[0])
        _seal(root, signer)

    return built(cache, "image", digest(recipe(signer)), build)


def _bootstrap(root: Path, source: mirror.Source) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", f"--keyring={mirror.KEYRING}"]
    run(
        [*command, source.suite, root, source.uri],
        "the base image cannot be built",
        f"check that {source.uri} can be reached and that the cache's file system is mounted with dev and exec",
    )


def _seal(root: Path, signer: Signer) -> None:
    remedy = "this is a fault of the recipe in shopstream.rehearsal.supplies.image"
    for name, text in {**_FILES, KEY.removeprefix("/"): signer.public}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o440 if "sudoers" in name else 0o644)
    for path in [*(root / "etc/ssh").glob("ssh_host_*"), root / "var/lib/dbus/machine-id", root / "etc/resolv.conf"]:
        path.unlink(missing_ok=True)
    chroot: list[str | Path] = ["chroot", root]
    run([*chroot, "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", USER], "no user", remedy)
    run([*chroot, "install", "-d", "-m", "700", "-o", USER, "-g", USER, f"/home/{USER}/.ssh"], "no home", remedy)
    run([*chroot, "systemctl", "enable", *_ENABLED], "units cannot be enabled", remedy)
    run([*chroot, "systemctl", "mask", *_MASKED], "units cannot be masked", remedy)
    run([*chroot, "apt-get", "clean"], "apt's cache cannot be emptied", remedy)
    for path in (root / "var/lib/apt/lists").iterdir():
        if path.is_file():
            path.unlink()
    shutil.rmtree(root / "var/log/apt", ignore_errors=True)
    (root / "var/log/bootstrap.log").unlink(missing_ok=True)
