"""The guests as they run: their file systems laid out, booted, found again, and hurt."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts import guest as paper
from shopstream.rehearsal.hosts import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shopstream.rehearsal.hosts.cgroups import Group, Usage
    from shopstream.rehearsal.hosts.namespace import Namespace
    from shopstream.rehearsal.hosts.plan import Guest, Plan
    from shopstream.rehearsal.hosts.state import State

_END_S = 10.0


@dataclass(frozen=True)
class Login:
    """An account of the image: who owns what lies in its home directory."""

    uid: int
    gid: int
    home: str


def login(image: Path, user: str) -> Login:
    """Look an account up in an image.

    Raises:
        RehearsalError: The image has no such account.
    """
    for line in (image / "etc/passwd").read_text(encoding="utf-8").splitlines():
        name, _, uid, gid, _, home, _ = line.split(":")
        if name == user:
            return Login(int(uid), int(gid), home)
    raise RehearsalError(f"the image {image} has no account {user!r}, which the inventory's ansible_user names")


def key_pair() -> tuple[str, str]:
    """A new SSH key: private and public, in OpenSSH's forms."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


class Machine:
    """One guest of a rehearsal.

    Args:
        state: Where it keeps its files.
        plan: All machines.
        guest: This one.
        group: Its cgroup.
        namespace: Its network's.
    """

    def __init__(self, state: State, plan: Plan, guest: Guest, group: Group, namespace: Namespace) -> None:
        self.plan = plan
        self.guest = guest
        self.group = group
        self._state = state
        self._namespace = namespace

    @property
    def directory(self) -> Path:
        """Its own directory."""
        return self._state.guest(self.guest.name)

    def lay_out(self, image: Path, authorized_keys: str, packages: str) -> str:
        """Write what its file system has beyond the image.

        Args:
            image: The sealed base.
            authorized_keys: Who may log in.
            packages: Its sources.list.

        Returns:
            Its lines for known_hosts.
        """
        account = login(image, self.plan.user)
        private, public = key_pair()
        for each in ("upper", "work", "root"):
            (self.directory / each).mkdir(parents=True)
        (self.directory / "upper").chmod(0o755)
        written = paper.files(
            self.plan,
            self.guest,
            authorized_keys=authorized_keys,
            host_key=private,
            home=account.home,
            packages=packages,
        )
        for name, file in written.items():
            self._write(image, name, file, account)
        addresses = {self.guest.address, self.guest.private_ip}
        return "".join(f"{address} {public}\n" for address in sorted(addresses))

    def _write(self, image: Path, name: str, file: paper.File, account: Login) -> None:
        upper = self.directory / "upper"
        path = upper / name.lstrip("/")
        for parent in reversed(path.relative_to(upper).parents):
            made, below = upper / parent, image / parent
            if not made.exists():
                made.mkdir()
                if below.exists():
                    like = below.stat()  # an upper directory hides the owner and mode of the one below
                    made.chmod(like.st_mode & 0o7777)
                    os.chown(made, like.st_uid, like.st_gid)
                elif file.owner != "root":
                    made.chmod(0o700)
                    os.chown(made, account.uid, account.gid)
                else:
                    made.chmod(0o755)
        path.write_text(file.text, encoding="utf-8")
        path.chmod(file.mode)
        if file.owner != "root":
            os.chown(path, account.uid, account.gid)

    def boot(self, image: Path) -> None:
        """Start its supervisor, and return at once. Its file system is as it was when it ended."""
        joining = self.group.limit(self.guest.memory)
        script = paper.supervisor(self.plan, self.guest, image=image, directory=self.directory, joining=joining)
        # The last argument is $0: by it a supervisor is found that has not reached its cgroup yet.
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, f"{self.directory}/supervisor"]
        processes.detach(
            self._namespace.entering(command),
            self._state.console(self.guest.name),
            {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )

    @property
    def up(self) -> bool:
        """Whether it has processes."""
        return bool(self.group.pids())

    @property
    def init(self) -> int | None:
        """The pid of its process 1, as seen from here."""
        return processes.init_among(self.group.pids())

    @property
    def supervised(self) -> bool:
        """Whether its systemd-nspawn is there, so that a reboot would boot it again."""
        return processes.any_named("systemd-nspawn", self.group.pids())

    @property
    def usage(self) -> Usage:
        """What it takes."""
        return self.group.usage()

    def end(self) -> None:
        """SIGKILL its init, with which the kernel ends all the rest: a crash."""
        init = self.init
        processes.kill([init] if init else self.group.pids())
        self.group.thaw()

    def wait_ended(self) -> None:
        """Wait until nothing of it runs.

        Raises:
            RehearsalError: Something does.
        """
        if not processes.wait_until(lambda: not self.up, _END_S / 2):
            processes.kill(self.group.pids())
            if not processes.wait_until(lambda: not self.up, _END_S / 2):
                raise RehearsalError(f"{self.guest.name} does not end by SIGKILL: repeat it, or `hosts down`")

    def last_words(self) -> str:
        """The end of its console."""
        path = self._state.console(self.guest.name)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:] if path.is_file() else []
        return "\n".join(lines)

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command that runs another one in it, as root, counted and limited with it.

        Raises:
            RehearsalError: It is not up, or frozen.
        """
        init = self.init
        if init is None:
            raise RehearsalError(f"{self.guest.name} is not up: `shopstream rehearse hosts start {self.guest.name}`")
        if self.group.frozen:
            raise RehearsalError(f"{self.guest.name} is frozen: `shopstream rehearse hosts thaw {self.guest.name}`")
        join = "; ".join(f"echo $$ > {path}" for path in self.group.joins())
        enter = ["nsenter", f"--target={init}", "--all", "--wdns=/", "--"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["sh", "-c", f'{join}; exec "$@"', "sh", *enter, "env", "-i", path, "HOME=/root", "TERM=dumb", *command]
