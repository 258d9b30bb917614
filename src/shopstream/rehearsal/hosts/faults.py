"""What can be done to the guests: crashes, hangs, pulled cables, partitions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.hosts import cgroups, network
from shopstream.rehearsal.hosts.cgroups import Group
from shopstream.rehearsal.hosts.machines import Machine
from shopstream.rehearsal.hosts.plan import PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shopstream.rehearsal.hosts.namespace import Namespace
    from shopstream.rehearsal.hosts.plan import Guest, Plan
    from shopstream.rehearsal.hosts.state import Record, State


class Faults:
    """The faults of `Hosts`, which has all that they need."""

    state: State
    _namespace: Namespace

    def _wait_for_doors(self, machines: Sequence[Machine]) -> None:
        raise NotImplementedError

    def cut(self, *names: str) -> None:
        """Crash guests, all at the same moment: their init is killed, their disks stay as they are.

        The page cache of this machine survives: it is a crash of the host, not a loss of power to its disk.

        Args:
            names: Which; none for all.
        """
        planned = self._running()
        with self.state.changing():
            machines = [self._machine(planned, name) for name in names or (each.name for each in planned.guests)]
            for machine in machines:
                machine.end()
            for machine in machines:
                machine.wait_ended()

    def start(self, *names: str) -> None:
        """Boot guests that are down, and wait until SSH answers.

        Args:
            names: Which; none for all that are down.

        Raises:
            RehearsalError: SSH does not answer, for which a partition or a pulled cable may be the reason.
        """
        record = self._record()
        with self.state.changing():
            machines = [self._machine(record.plan, name) for name in names or (g.name for g in record.plan.guests)]
            down = [machine for machine in machines if not machine.up]
            image = _image(record)
            for machine in down:
                machine.boot(image)
            self._wait_for_doors(down)

    def freeze(self, *names: str) -> None:
        """Let guests hang: none of their processes runs, their connections stay open."""
        planned = self._running()
        with self.state.changing():
            for name in names:
                machine = self._machine(planned, name)
                if not machine.up:
                    raise RehearsalError(f"{name} is down and cannot hang: `shopstream rehearse hosts start {name}`")
                machine.group.freeze()

    def thaw(self, *names: str) -> None:
        """Let guests go on.

        Args:
            names: Which; none for all.
        """
        planned = self._running()
        with self.state.changing():
            for name in names or tuple(each.name for each in planned.guests):
                self._machine(planned, name).group.thaw()

    def unplug(self, name: str) -> None:
        """Pull a guest's cable. A reboot plugs it in again."""
        self._cable(name, "down")

    def plug(self, name: str) -> None:
        """Plug it in."""
        self._cable(name, "up")

    def _cable(self, name: str, wanted: str) -> None:
        planned = self._running()
        guest = planned.guest(name)
        with self.state.changing():
            if not self._machine(planned, name).up:
                raise RehearsalError(f"{name} is down and has no cable: `shopstream rehearse hosts start {name}`")
            self._namespace.run(["ip", "link", "set", guest.link, wanted], f"set the cable of {name} {wanted}")

    def partition(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Let two sides not hear each other, in addition to the partitions that are there.

        Args:
            one: Names of guests, or "operator".
            other: The same; nobody may stand on both sides.
        """
        if both := sorted(set(one) & set(other)):
            raise UsageError(f"{', '.join(both)} would stand on both sides: name two sides that share nobody")
        if not one or not other:
            raise UsageError("a partition has two sides: name at least one host on each")
        planned = self._running()
        with self.state.changing():
            partitions = (*self._partitions(), (tuple(one), tuple(other)))
            self._apply(planned, partitions)

    def heal(self) -> None:
        """End all partitions."""
        planned = self._running()
        with self.state.changing():
            self._apply(planned, ())

    def _apply(self, planned: Plan, partitions: tuple[network.Partition, ...]) -> None:
        rules = network.partition_rules(planned, partitions)
        self._namespace.run(["nft", "-f", "-"], "change the partitions", text=rules)
        write_private(self._partition_file, json.dumps(partitions) + "\n")

    @property
    def _partition_file(self) -> Path:
        return self.state.root / "partitions.json"

    def _partitions(self) -> tuple[network.Partition, ...]:
        try:
            return tuple(
                (tuple(one), tuple(other))
                for one, other in json.loads(self._partition_file.read_text(encoding="utf-8"))
            )
        except (OSError, ValueError):
            return ()

    def _unplugged(self, guest: Guest) -> bool:
        import subprocess

        shown = subprocess.run(
            self._namespace.entering(["ip", "-json", "link", "show", guest.link]),
            capture_output=True,
            text=True,
            check=False,
        )
        return shown.returncode == 0 and "UP" not in json.loads(shown.stdout)[0]["flags"]

    def _record(self) -> Record:
        record = self.state.read()
        if record is None or not record.complete or not self._namespace.identity:
            raise RehearsalError(
                f"no machines are up in {self.state.root}: `shopstream rehearse hosts up` (as root, with the same "
                "SHOPSTREAM_HOME)"
            )
        return record

    def _running(self) -> Plan:
        return self._record().plan

    def _grounded(self) -> Plan:
        """The same without guests, if need be."""
        record = self.state.read()
        if record is not None and record.ground and self._namespace.identity:
            return record.plan
        return self._running()

    def _machine(self, planned: Plan, name: str) -> Machine:
        group = Group(cgroups.find(), f"{PREFIX}{planned.tag}").child(name)
        return Machine(self.state, planned, planned.guest(name), group, self._namespace)


def _image(record: Record) -> Path:
    from pathlib import Path

    return Path(record.image)
