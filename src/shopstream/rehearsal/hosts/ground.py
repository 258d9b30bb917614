"""What the guests stand on, and can be there before them: their network, the supplies, what stands in for AWS."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts import cgroups, needs, network, processes, remains
from shopstream.rehearsal.hosts.machines import Machine, key_pair
from shopstream.rehearsal.hosts.plan import Plan, plan
from shopstream.rehearsal.hosts.state import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Network
    from pathlib import Path

    from shopstream.rehearsal.hosts.inventory import Inventory
    from shopstream.rehearsal.hosts.namespace import Namespace
    from shopstream.rehearsal.hosts.state import State

_SERVICES_S = 120.0


class Supplies(Protocol):
    """What guests are made of and install."""

    @property
    def image(self) -> Path:
        """The sealed base."""

    @property
    def www(self) -> Path:
        """The tree to serve."""

    def sources_list(self, base_url: str) -> str:
        """A guest's /etc/apt/sources.list, when it is served at `base_url`."""

    def variables(self, base_url: str) -> dict[str, str]:
        """Ansible's extra variables, when it is served at `base_url`."""


@dataclass(frozen=True)
class Aws:
    """What stands in for AWS.

    Attributes:
        region: The region of its clients.
        deployment: Whose secrets it has from the start; "" for none at all.
    """

    region: str
    deployment: str = ""


class Ground:
    """The ground of `Hosts`, which has all that it needs."""

    state: State
    _namespace: Namespace
    _progress: Callable[[str], None]

    def _prepare(self) -> Supplies:
        raise NotImplementedError

    def _wait_for_doors(self, machines: Sequence[Machine]) -> None:
        raise NotImplementedError

    def _machine(self, planned: Plan, name: str) -> Machine:
        raise NotImplementedError

    def lay_ground(self, vpc: IPv4Network, *, user: str = "admin", region: str = "us-east-1") -> None:
        """Make all but the guests: network, supplies' server, and an empty account in place of AWS. `boot` follows.

        Args:
            vpc: The network of the guests to come.
            user: The account that logs in on them.
            region: Of the AWS stand-in.

        Raises:
            RehearsalError: With what went wrong. Nothing is left of what this call began.
        """
        needs.require()
        with self.state.changing():
            found = cgroups.find()
            remains.clear(self.state, found)
            supplies = self._prepare()
            planned = Plan(self.state.tag, vpc, user, ())
            try:
                self._lay(planned, supplies, Aws(region))
                self._wait_for_services()
                began = time.time()
                self.state.write(Record(planned, str(supplies.image), complete=False, began=began, ground=True))
            except BaseException:
                remains.clear(self.state, found)
                raise

    def boot(self, read: Inventory, text: str) -> tuple[str, ...]:
        """Boot an inventory's guests on the ground that `lay_ground` made, and wait until SSH answers on all of them.

        Args:
            read: The inventory.
            text: The same as it is written.

        Returns:
            Their names.

        Raises:
            RehearsalError: There is no ground, it has guests, or one does not come up: then they all are ended.
        """
        with self.state.changing():
            record = self.state.read()
            if record is None or not record.ground or record.complete or self._namespace.identity is None:
                raise RehearsalError(f"there is no ground without guests in {self.state.root}: lay one first")
            planned = plan(read, self.state.tag)
            if planned.network != record.plan.network:
                raise RehearsalError(
                    f"the inventory's VPC is {planned.network}, the ground was laid for {record.plan.network}: "
                    "lay it anew"
                )
            supplies = self._prepare()
            write_private(self.state.inventory, text)
            # Written first, so that whatever happens now, it is known whose machines there may be.
            self.state.write(Record(planned, str(supplies.image), complete=False, began=record.began, ground=True))
            machines = [self._machine(planned, guest.name) for guest in planned.guests]
            try:
                self._boot(planned, supplies)
            except BaseException:
                for machine in machines:
                    machine.end()
                for machine in machines:
                    machine.wait_ended()
                self.state.forget_guests()
                self.state.write(record)
                raise
            self.state.write(Record(planned, str(supplies.image), complete=True, began=record.began, ground=True))
        return tuple(guest.name for guest in planned.guests)

    # The steps

    def _lay(self, planned: Plan, supplies: Supplies, aws: Aws | None) -> None:
        """Network, keys, variables; the services are begun, not awaited."""
        self.state.write(Record(planned, str(supplies.image), complete=False, began=time.time()))
        private, public = key_pair()
        write_private(self.state.key, private)
        self.state.public_key.write_text(f"{public} rehearsal\n", encoding="utf-8")
        base = f"http://{planned.gateway}"
        write_private(self.state.variables, json.dumps(supplies.variables(base), indent=2) + "\n")
        self._namespace.create()
        for command in network.bridge_commands(planned):
            self._namespace.run(command, "lay the guests' network")
        self._start_services(planned, supplies, aws)

    def _boot(self, planned: Plan, supplies: Supplies, extra_key: str = "") -> None:
        for command in network.route_commands(planned):
            self._namespace.run(command, "lay the way to the guests")
        self._progress(f"booting {len(planned.guests)} machines")
        machines = [self._machine(planned, guest.name) for guest in planned.guests]
        keys = self.state.public_key.read_text(encoding="utf-8") + extra_key
        packages = supplies.sources_list(f"http://{planned.gateway}")
        known = [machine.lay_out(supplies.image, keys, packages) for machine in machines]
        write_private(self.state.known_hosts, "".join(known))
        for machine in machines:
            machine.boot(supplies.image)
        self._wait_for_doors(machines)

    def _start_services(self, planned: Plan, supplies: Supplies, aws: Aws | None) -> None:
        command = [sys.executable, "-m", "shopstream.rehearsal.hosts.services", "--state", str(self.state.root)]
        command += ["--www", str(supplies.www), "--bind", str(planned.gateway)]
        if aws:
            command += ["--region", aws.region]
            command += ["--deployment", aws.deployment] if aws.deployment else []
        processes.detach(self._namespace.entering(command), self.state.root / "services.log", os.environ)

    def _wait_for_services(self) -> None:
        """Wait until they are ready.

        Without guests nothing else shows that they have been started: that takes a moment.
        """
        processes.wait_until(lambda: self.state.operator.is_file() or self._services_alive(), 10.0)
        processes.wait_until(lambda: self.state.operator.is_file() or not self._services_alive(), _SERVICES_S)
        if not self.state.operator.is_file() or not self._services_alive():
            log = self.state.root / "services.log"
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            raise RehearsalError(
                "the operator's services (supplies, stand-in for AWS) did not come up; they said:\n" + "\n".join(lines)
            )

    def _services_alive(self) -> bool:
        identity = self._namespace.identity
        if identity is None:
            return False
        import psutil

        for pid in processes.in_network(identity):
            try:
                if "shopstream.rehearsal.hosts.services" in psutil.Process(pid).cmdline():
                    return True
            except psutil.Error:
                continue
        return False
