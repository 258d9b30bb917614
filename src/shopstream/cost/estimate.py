"""What a deployment costs, by service: a run, an idle hour, an idle month, a million orders."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

from shopstream.cost.prices import HOURS_A_MONTH
from shopstream.cost.standing import SERVICES, standing
from shopstream.cost.usage import FULL, SINGLE, Batches, metrics, uncounted, use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shopstream.cost.plan import Plan
    from shopstream.cost.prices import PriceTable
    from shopstream.cost.standing import Line, Unpriced
    from shopstream.cost.usage import Use
    from shopstream.topology import Topology

DEFAULT_HOURS = 3.0
"""An ephemeral run: up in about half an hour, orders, down again in up to one."""

DEFAULT_ORDERS = 5000
"""As many as `shopstream demo` sends."""

MILLION = 1_000_000

NIGHT_HOURS = 14.0
"""From six in the evening to eight in the morning."""

NIGHTS_A_MONTH = 365 / 12


class Amounts(NamedTuple):
    """USD of one service, or of all.

    Attributes:
        hour: An hour without orders.
        run: The run.
        month: A month without orders.
        million_full: For a million orders in full batches, without what stands.
        million_single: The same with one record in each batch.
    """

    hour: float = 0.0
    run: float = 0.0
    month: float = 0.0
    million_full: float = 0.0
    million_single: float = 0.0

    def plus(self, other: Amounts) -> Amounts:
        """The sum of both, column by column."""
        return Amounts(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Amounts) -> Amounts:
        """How much more this is, column by column."""
        return Amounts(*(a - b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Estimate:
    """What a plan costs.

    Attributes:
        plan: The plan.
        table: The prices.
        hours: How long the run is, hours.
        orders: How many orders it sends, evenly over its time.
        lines: What is billed while it exists.
        run_use: What the run's orders use.
        full_use: What a million orders use in full batches, with logs and items kept as long as they are.
        single_use: The same with one record in each batch.
        unpriced: What is missing in all sums, because its price is not known.
        uncounted: Services whose orders are not counted, because the plan has no function for them.
    """

    plan: Plan
    table: PriceTable
    hours: float
    orders: int
    lines: tuple[Line, ...]
    run_use: tuple[Use, ...]
    full_use: tuple[Use, ...]
    single_use: tuple[Use, ...]
    unpriced: tuple[Unpriced, ...]
    uncounted: tuple[str, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """The services that anything is billed of."""
        billed: tuple[Line | Use, ...] = (*self.lines, *self.run_use, *self.single_use)
        found = {each.service for each in billed}
        return tuple(service for service in SERVICES if service in found)

    def amounts(self, service: str) -> Amounts:
        """The sums of one service."""
        lines = [line for line in self.lines if line.service == service]
        hour = sum(line.hourly for line in lines if not line.busy)
        return Amounts(
            hour=hour,
            run=sum(self.run_of(line) for line in lines) + _usd(self.run_use, service),
            month=hour * HOURS_A_MONTH,
            million_full=_usd(self.full_use, service),
            million_single=_usd(self.single_use, service),
        )

    def run_of(self, line: Line) -> float:
        """USD of a line for the run. What is billed by started hours counts whole ones."""
        if line.busy and not self.orders:
            return 0.0
        return line.hourly * (ceil(self.hours) if line.price.whole_hours else self.hours)

    @property
    def total(self) -> Amounts:
        """The sums of everything."""
        total = Amounts()
        for service in self.services:
            total = total.plus(self.amounts(service))
        return total

    @property
    def stopped_hour(self) -> float:
        """USD for an hour in which the hosts are stopped: disks, endpoints, secrets and the like go on."""
        return sum(line.hourly for line in self.lines if not line.stops and not line.busy)


def estimate(
    plan: Plan,
    topology: Topology,
    table: PriceTable,
    *,
    hours: float = DEFAULT_HOURS,
    orders: int = DEFAULT_ORDERS,
) -> Estimate:
    """Estimate what a plan costs.

    Args:
        plan: What there will be.
        topology: What flows where.
        table: The prices.
        hours: How long the run is, more than 0.
        orders: How many orders it sends.
    """
    found = standing(plan, table)
    pace = Batches(orders / (hours * 3600))
    return Estimate(
        plan=plan,
        table=table,
        hours=hours,
        orders=orders,
        lines=(*found.lines, metrics(plan, topology, table)),
        run_use=use(plan, topology, table, orders=orders, batches=pace, kept_hours=hours),
        full_use=use(plan, topology, table, orders=MILLION, batches=FULL, kept_hours=inf),
        single_use=use(plan, topology, table, orders=MILLION, batches=SINGLE, kept_hours=inf),
        unpriced=found.unpriced,
        uncounted=tuple(uncounted(plan, topology)),
    )


def _usd(uses: Iterable[Use], service: str) -> float:
    return sum(each.usd for each in uses if each.service == service)
