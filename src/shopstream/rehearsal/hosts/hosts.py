"""The stand-ins for EC2 as one thing: up, down, status, commands on them, and faults."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from shopstream.aws import ansible
from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.hosts import cgroups, faults, ground, needs, pages, processes, remains
from shopstream.rehearsal.hosts.ground import Aws
from shopstream.rehearsal.hosts.inventory import Inventory, parse
from shopstream.rehearsal.hosts.namespace import Namespace
from shopstream.rehearsal.hosts.plan import OPERATOR, PREFIX, Plan, plan
from shopstream.rehearsal.hosts.state import Record, State
from shopstream.rehearsal.hosts.status import HostStatus, Status, Up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from shopstream.rehearsal.hosts.ground import Supplies
    from shopstream.rehearsal.hosts.machines import Machine
    from shopstream.rehearsal.hosts.pages import Page

_BOOT_S = 90.0
_ANSWER_S = 10.0
_SAMPLE = Path(__file__).with_name("sample-outputs.json")


class Hosts(faults.Faults, ground.Ground):
    """The machines of one rehearsal. All that is known of them lies in the state directory and in the kernel.

    Args:
        home: Shopstream's state directory.
        cache: Where image and packages are kept; by default in the state directory's cache.
        supplies: Makes what guests are made of; by default the project's own.
        progress: Told in a line what is being done.
    """

    def __init__(
        self,
        home: Path,
        *,
        cache: Path | None = None,
        supplies: Callable[[], Supplies] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        home = home.absolute()
        self.state = State(home / "rehearsal")
        self._cache = (cache or home / "cache" / "rehearsal").absolute()
        self._supplies = supplies
        self._progress = progress
        self._namespace = Namespace(f"{PREFIX}{self.state.tag}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    # Up and down

    def up(self, inventory: Path | None = None, *, ssh_public_key: Path | None = None, aws: bool = True) -> Up:
        """Boot the guests of an inventory, and wait until SSH answers on all of them.

        Args:
            inventory: The file; by default the one of a deployment with all defaults.
            ssh_public_key: A key that may log in beside the rehearsal's own.
            aws: Whether to start what stands in for AWS, with the deployment's secrets.

        Raises:
            RehearsalError: With what went wrong and what to do. Nothing is left of what this call began.
            UsageError: The inventory cannot be stood up.
        """
        begun = time.monotonic()
        needs.require()
        text, read = self._inventory(inventory)
        extra = _public_key(ssh_public_key)
        with self.state.changing():
            found = cgroups.find()
            if already := self._already(read):
                return self._told(already, begun, already=True)
            if remains.look(self.state, found):
                self._progress("clearing away what an interrupted command has left")
            remains.clear(self.state, found)
            supplies = self._prepare()
            planned = plan(read, self.state.tag)
            try:
                self._raise(planned, read, text, extra, supplies, aws=aws)
            except BaseException:
                self._progress("clearing away")
                remains.clear(self.state, found)
                raise
            return self._told(planned, begun, already=False)

    def down(self) -> remains.Remains:
        """End and delete all of it, whatever state it is in.

        Returns:
            What was looked at afterwards; nothing was found there.

        Raises:
            RehearsalError: Something withstands.
        """
        needs.require_root()
        with self.state.changing():
            return remains.clear(self.state, cgroups.find())

    def status(self) -> Status:
        """How the guests are."""
        needs.require_root()
        found = cgroups.find()
        record = self.state.read()
        if record is None or not record.complete:
            left = remains.look(self.state, found)
            return Status(
                False, str(self.state.root), False, (), (), {place: each for place, each in left.places.items() if each}
            )
        return Status(
            True,
            str(self.state.root),
            self._services_alive(),
            tuple(self._host_status(self._machine(record.plan, guest.name)) for guest in record.plan.guests),
            self._partitions(),
            {},
        )

    # Commands

    def command(self, host: str, command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """How to run a command on a guest (as root), or as the operator: in the guests' network, with AWS's stand-in.

        Args:
            host: The guest's name, or "operator".
            command: The command and its arguments.

        Returns:
            The whole command line, and its environment.
        """
        if host == OPERATOR:
            self._grounded()
            kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
            return self._namespace.entering(command), {**kept, **self.state.environment()}
        return self._machine(self._running(), host).inside(command), dict(os.environ)

    def exec(self, host: str, command: Sequence[str]) -> int:
        """Run a command with this process's input and output, and return its exit code. See `command`."""
        line, environment = self.command(host, command)
        code = subprocess.run(line, env=environment, check=False).returncode
        return code if code >= 0 else 128 - code  # ended by a signal: as shells have it

    def run(
        self, host: str, command: Sequence[str], *, text: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and capture what it says. See `command`.

        Args:
            host: The guest's name, or "operator".
            command: The command and its arguments.
            text: Its standard input.
            timeout: After how many seconds it is killed, and subprocess.TimeoutExpired raised.
        """
        line, environment = self.command(host, command)
        return subprocess.run(
            line, env=environment, input=text or "", text=True, capture_output=True, timeout=timeout, check=False
        )

    def play(self, playbook: Path, arguments: Sequence[str] = ()) -> int:
        """Run a playbook against the guests as the operator, and return Ansible's exit code.

        Args:
            playbook: The file.
            arguments: More arguments for ansible-playbook.

        Raises:
            UsageError: There is no such playbook, or no Ansible.
        """
        if not playbook.is_file():
            raise UsageError(f"{playbook} does not exist: name a playbook, for example infra/ansible/site.yml")
        program = ansible.program([Path.cwd()], None)
        if program is None:
            raise UsageError(
                "there is no ansible-playbook, neither in .venv-ansible nor on the PATH: `make ansible` installs what "
                "requirements-ansible.txt pins"
            )
        line, environment = self.command(
            OPERATOR,
            [
                program,
                f"--inventory={self.state.inventory}",
                f"--private-key={self.state.key}",
                f"--extra-vars=@{self.state.variables}",
                str(playbook),
                *arguments,
            ],
        )
        # Another rehearsal has the same addresses: a connection that is shared by address must not be shared with it.
        environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(self.state.sockets)
        config = playbook.absolute().parent / "ansible.cfg"
        if config.is_file():
            environment["ANSIBLE_CONFIG"] = str(config)
        return subprocess.run(line, env=environment, check=False).returncode

    def forward_pages(self, told: Callable[[dict[Page, int]], None]) -> None:
        """Lead ports of this computer's loopback to the machines' web pages, until Ctrl-C.

        Args:
            told: Told each page's port here, when all can be opened.

        Raises:
            RehearsalError: No machines are up, or none with a page.
            KeyboardInterrupt: Ctrl-C.
        """
        self._running()
        source = str(self.state.inventory)
        found = pages.pages_of(parse(self.state.inventory.read_text(encoding="utf-8"), source))

        def connect(page: Page) -> socket.socket:
            return self._namespace.call(lambda: socket.create_connection((page.address, page.port), timeout=_ANSWER_S))

        asyncio.run(pages.forward(found, connect, told))

    # The steps of `up`

    def _inventory(self, path: Path | None) -> tuple[str, Inventory]:
        if path is None:
            from shopstream.aws import inventory as written

            outputs = written.parse(_SAMPLE.read_text(encoding="utf-8"), str(_SAMPLE))
            text, source = written.render(outputs, private_key=self.state.key), "the sample inventory"
        else:
            try:
                text, source = path.read_text(encoding="utf-8"), str(path)
            except OSError as error:
                raise UsageError(f"the inventory {path} cannot be read: {error.strerror}") from error
        return text, parse(text, source)

    def _already(self, read: Inventory) -> Plan | None:
        record = self.state.read()
        if record is None or not record.complete or not self._namespace.identity:
            return None
        if record.plan != plan(read, self.state.tag):
            raise RehearsalError(
                f"the machines of {self.state.root} are up with another inventory: "
                "`shopstream rehearse hosts down` first"
            )
        if not self._services_alive():
            raise RehearsalError(
                "the machines are up, but their supplies' server (with what stands in for AWS) has ended, see "
                f"{self.state.root / 'services.log'}: `shopstream rehearse hosts down`, then `up` again"
            )
        return record.plan

    def _prepare(self) -> Supplies:
        if self._supplies is not None:
            return self._supplies()
        from shopstream.rehearsal import supplies

        self._cache.mkdir(parents=True, exist_ok=True)
        made: Supplies = supplies.prepare(self._cache, self._progress)
        return made

    def _raise(
        self, planned: Plan, read: Inventory, text: str, extra_key: str, supplies: Supplies, *, aws: bool
    ) -> None:
        began = time.time()
        variables = read.variables
        stand_in = Aws(variables.get("aws_region", "us-east-1"), variables.get("deployment", "shopstream"))
        self._lay(planned, supplies, stand_in if aws else None)
        write_private(self.state.inventory, text)
        self._boot(planned, supplies, extra_key)
        self._wait_for_services()
        self.state.write(Record(planned, str(supplies.image), complete=True, began=began, ground=True))

    def _wait_for_doors(self, machines: Sequence[Machine], seconds: float = _BOOT_S) -> None:
        """Wait until SSH answers on each of them."""
        waiting = {str(machine.guest.address): machine for machine in machines}
        command = [sys.executable, "-m", "shopstream.rehearsal.hosts.doors", str(seconds), *waiting]
        with subprocess.Popen(
            self._namespace.entering(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as doors:
            try:
                assert doors.stdout is not None  # noqa: S101 - a pipe was asked for
                for line in doors.stdout:
                    machine = waiting.pop(line.strip())
                    self._progress(f"{machine.guest.name} answers on {machine.guest.address}")
            finally:
                doors.kill()
        if waiting:
            words = "\n".join(f"{each.guest.name}: {each.last_words() or '(nothing)'}" for each in waiting.values())
            names = ", ".join(each.guest.name for each in waiting.values())
            raise RehearsalError(f"no SSH within {seconds:.0f} s on {names}; the end of their consoles:\n{words}")

    # What is there

    def _told(self, planned: Plan, begun: float, *, already: bool) -> Up:
        return Up(
            tuple(guest.name for guest in planned.guests),
            already,
            time.monotonic() - begun,
            str(self.state.inventory),
            str(self.state.key),
        )

    def _host_status(self, machine: Machine) -> HostStatus:
        guest, usage, init = machine.guest, machine.usage, machine.init
        if not machine.up:
            state = "down"
        elif machine.group.frozen:
            state = "frozen"
        else:
            state = ("up" if machine.supervised else "orphaned") if init else "booting"
        return HostStatus(
            name=guest.name,
            state=state,
            unplugged=state != "down" and self._unplugged(guest),
            address=str(guest.address),
            private_ip=str(guest.private_ip),
            instance_type=guest.instance_type,
            memory_used=usage.used,
            memory_cached=usage.cached,
            memory_limit=usage.limit or guest.memory,
            oom_kills=usage.oom_kills,
            uptime=processes.age(init) if init else None,
        )


def _public_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"the public key {path} cannot be read: {error.strerror}") from error
    if not text.startswith(("ssh-", "ecdsa-", "sk-")) or "\n" in text:
        raise UsageError(f"{path} is no SSH public key of one line: name the file that ends in .pub")
    return text + "\n"
