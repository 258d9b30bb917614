"""An estimate for people, as tables, and for machines, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.cost import usage
from shopstream.cost.standing import BY_USE, FREE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table

    from shopstream.cost.choices import Choice
    from shopstream.cost.estimate import Amounts, Estimate
    from shopstream.cost.standing import Line
    from shopstream.cost.usage import Use

LEFT_OUT = (
    "AWS's free tiers, discounts and taxes",
    "data to the internet, and what hosts fetch through a NAT gateway while they are set up",
    "cold starts, and calls of Secrets Manager, KMS and S3: less than a cent a run",
    "surplus CPU credits: t3 hosts that work beyond their baseline are billed for it, t2 hosts are slowed down",
    "mails on alarms, log queries, snapshots, licences",
)
"""What no sum contains."""

WIDE = 124
"""Columns that a terminal must have to be shown what each sum is made of."""

_NAMES = 30  # columns for names, the same in both tables

_ASSUMPTIONS = (
    "DEFAULT_RATES", "EVENT_BYTES", "KEY_BYTES", "FRAMING_BYTES", "EVENT_LINE_BYTES", "METRICS_LINE_BYTES",
    "PLATFORM_LINES_BYTES", "LINE_OVERHEAD_BYTES", "STORED_SHARE", "TABLE_UNITS", "ITEM_BYTES",
    "PAYLOAD_RECORD_BYTES", "INVOCATION_MS", "RECORD_MS", "TABLE_MS", "WINDOW_S", "POLLERS",
)  # fmt: skip


def notes(estimate: Estimate) -> list[str]:
    """What a reader must know of these sums beyond what stands in them."""
    plan, table = estimate.plan, estimate.table
    said = []
    if estimate.unpriced:
        missing = ", ".join(str(each) for each in estimate.unpriced)
        said.append(f"MISSING FROM ALL SUMS, because no price is known here: {missing}")
    if plan.region not in {None, table.region}:
        said.append(f"the plan is for {plan.region}, and these are {table.region}'s prices: others apply there")
    if estimate.uncounted:
        said.append(f"the plan has no function for {', '.join(estimate.uncounted)}: what orders use there is missing")
    for rule in plan.all("aws_cloudwatch_event_rule"):
        if rule.values.get("state") == "ENABLED":
            schedule = rule.values.get("schedule_expression")
            said.append(f"{rule.index} is started by {schedule}: idle hours are not idle; say so with --orders")
    for budget in plan.all("aws_budgets_budget"):
        hour = estimate.total.hour
        if budget.values.get("time_unit") == "MONTHLY" and hour > 0:
            limit = float(budget.values.get("limit_amount") or 0)
            said.append(f"the budget of {limit:g} USD a month only warns; {limit / hour:.0f} idle hours use it up")
    if any(line.stops for line in estimate.lines):
        said.append(f"with the hosts stopped {estimate.stopped_hour:.2f} USD an hour go on; destroyed, nothing does")
    return said


def to_data(estimate: Estimate, choices: Iterable[Choice]) -> dict[str, Any]:
    """The whole estimate in JSON's types; USD, unrounded."""
    table = estimate.table
    return {
        "region": table.region,
        "currency": table.currency,
        "prices_as_of": table.as_of.isoformat(),
        "hours": estimate.hours,
        "orders": estimate.orders,
        "total": _amounts(estimate.total),
        "services": {service: _service(estimate, service) for service in estimate.services},
        "stopped_hour": estimate.stopped_hour,
        "choices": [
            {"name": c.name, "how": c.how, "hour": c.hour, "run": c.run, "idle_month": c.month} for c in choices
        ],
        "unpriced": [{"what": each.what, "count": each.count} for each in estimate.unpriced],
        "uncounted": list(estimate.uncounted),
        "notes": notes(estimate),
        "left_out": list(LEFT_OUT),
        "free": {kind: why for kind, why in FREE.items() if estimate.plan.all(kind)},
        "by_use": {kind: what for kind, what in BY_USE.items() if estimate.plan.all(kind)},
        "assumptions": {name.lower(): getattr(usage, name) for name in _ASSUMPTIONS},
        "prices": {
            key: {
                "usd": price.usd,
                "unit": price.unit,
                "page": price.page,
                "read": price.read.isoformat(),
                **({"found": price.found} if price.found else {}),
            }
            for key, price in table.prices.items()
        },
    }


def _amounts(amounts: Amounts) -> dict[str, Any]:
    return {
        "idle_hour": amounts.hour,
        "run": amounts.run,
        "idle_month": amounts.month,
        "million_orders": {"full_batches": amounts.million_full, "single_records": amounts.million_single},
    }


def _service(estimate: Estimate, service: str) -> dict[str, Any]:
    lines = [line for line in estimate.lines if line.service == service]
    uses = [each for each in estimate.run_use if each.service == service]
    return {
        **_amounts(estimate.amounts(service)),
        "standing": [
            {
                "what": line.what,
                "quantity": line.quantity,
                "price": line.price.key,
                "hour": line.hourly,
                "run": estimate.run_of(line),
                "only_while_orders_flow": line.busy,
                "stops_with_the_hosts": line.stops,
            }
            for line in lines
        ],
        "used": [
            {"what": each.what, "quantity": each.quantity, "price": each.price.key, "run": each.usd} for each in uses
        ],
    }


def render(estimate: Estimate, choices: Sequence[Choice], console: Console) -> None:
    """Print the estimate.

    Args:
        estimate: What to print.
        choices: What to compare it with.
        console: Where to.
    """
    table = estimate.table
    run = f"{estimate.hours:g} h, {estimate.orders:,} orders"
    total = estimate.total
    console.print(
        f"[bold]{total.run:.2f} USD[/bold] for {run}; [bold]{total.hour:.2f} USD[/bold] an hour while nothing happens"
    )
    console.print(f"an estimate from {table.region}'s list prices, gone through on {table.as_of}\n", style="dim")
    wide = console.width >= WIDE
    services = _table("service", "idle hour", "this run", "idle month", "million orders", about="what", wide=wide)
    for service in estimate.services:
        about = (_what(estimate, service),) if wide else ()
        services.add_row(service, *_cells(estimate.amounts(service)), *about)
    services.add_row("all", *_cells(total), style="bold")
    console.print(services)
    console.print("million orders: in full batches, to one record in each; what stands comes on top\n", style="dim")
    others = _table("choice", "idle hour", "this run", "idle month", about="how", wide=wide)
    for choice in choices:
        about = (choice.how,) if wide else ()
        cells = (_more(choice.hour, 4), _more(choice.run, 3), _more(choice.month, 2))
        others.add_row(choice.name, *cells, *about)
    console.print(others)
    console.print()
    for note in notes(estimate):
        console.print(note, style="bold red" if note.startswith("MISSING") else "", markup=False, highlight=False)
    free = sum(bool(estimate.plan.all(kind)) for kind in FREE)
    console.print(f"free: {free} types of resources, each with its reason in --json", style="dim", highlight=False)
    console.print(f"not counted: {'; '.join(LEFT_OUT)}", style="dim", markup=False, highlight=False)


def _table(first: str, *amounts: str, about: str, wide: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True, min_width=_NAMES)
    for name in amounts:
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column(about, style="dim", no_wrap=True)
    return table


def _what(estimate: Estimate, service: str) -> str:
    """What a service's sums are made of: what stands, or else what the run uses."""
    lines: list[Line | Use] = [line for line in estimate.lines if line.service == service]
    uses = [each for each in estimate.run_use if each.service == service and each.price.unit != "GB-month"]
    return ", ".join(_counted(each) for each in lines or uses)


def _counted(each: Line | Use) -> str:
    quantity = f"{each.quantity:,.0f}" if each.quantity >= 1 else f"{each.quantity:.2g}"
    return f"{quantity} {each.what}" if each.what.startswith("GB") else f"{quantity} x {each.what}"


def _cells(amounts: Amounts) -> tuple[str, str, str, str]:
    million = spread(amounts.million_full, amounts.million_single) if amounts.million_single else "-"
    return (short(amounts.hour, 4), short(amounts.run, 3), short(amounts.month, 2), million)


def short(amount: float, digits: int) -> str:
    """An amount of 0 or more with some digits after the point; what would be rounded to 0 is not shown as 0."""
    if not amount:
        return "-"
    least = 10**-digits
    return f"<{least:.{digits}f}" if amount < least / 2 else f"{amount:.{digits}f}"


def spread(low: float, high: float) -> str:
    """From an amount to another, or the one amount that both are, to the cent."""
    first, last = f"{low:.2f}", f"{high:.2f}"
    return first if first == last else f"{first} to {last}"


def _more(amount: float | None, digits: int) -> str:
    return "" if amount is None else f"{amount:+.{digits}f}"
