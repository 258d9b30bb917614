"""What runs the services during a run, and what a run asks of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from shopstream.runtime.process import Task
from shopstream.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from shopstream.run.plan import Plan
    from shopstream.topology import Service, Topology

    Tell = Callable[[str], None]  # takes a line when something unexpected happens
    MakeFleet = Callable[[Plan, Topology, Tell, bool], "Fleet"]  # the last says whether the run was begun before


class Fleet(Protocol):
    """Everything that brings a run's orders and answers them."""

    def start(self) -> None:
        """Start everything but the source of events."""

    def start_source(self) -> None:
        """Start the source of events."""

    def check(self) -> None:
        """Mend what can be mended.

        Raises:
            ClusterError: Something cannot be kept going.
        """

    def stop(self) -> None:
        """End it in order. Nothing is left afterwards."""

    @property
    def patience(self) -> float:
        """Seconds after which an order without an outcome has lost it, although something still moves."""

    @property
    def ready(self) -> bool:
        """Whether every service has its partitions."""

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, for somebody who wants to kill one."""

    @property
    def source_finished(self) -> bool:
        """Whether the source has committed all orders."""

    def counts(self) -> dict[str, dict[str, Counter[str]]]:
        """For each service: records `read` and events `written` by topic, for showing progress."""


def make_workers(plan: Plan, topology: Topology, tell: Tell, resumes: bool) -> Supervisor:  # noqa: ARG001
    """The fleet of worker processes, the generator's among them. They find out themselves where to go on."""
    source = topology.source
    task = partial(
        Task,
        cluster=str(plan.cluster),
        topology=str(plan.topology_file) if plan.topology_file else None,
        guarantee=plan.run.guarantee,
        seed=plan.run.seed,
    )
    tasks = [
        task(service=service.name, instance=instance)
        for service in topology.processors
        for instance in range(min(plan.workers, _most_useful(topology, service)))
    ]
    tasks.append(task(service=source.name, run=plan.run, rate=plan.rate, ledger=str(plan.ledger)))
    return Supervisor(tasks, plan.logs, tell)


def _most_useful(topology: Topology, service: Service) -> int:
    """How many instances of a service can have work: as many as its topics have partitions."""
    return max(topology.topics[topic].partitions for topic in service.consumes)
