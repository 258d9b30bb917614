"""Does an observed rate fit the configured one? An exact binomial test."""

from __future__ import annotations

from math import exp, inf, lgamma, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shopstream.topology import Topology

TAIL_BOUND = 1e-6
"""A rate is called wrong when chance alone would give one at least as far off, on the same side, less often than this.

So an honest run is blamed less than twice in a million times for each of its rates.
"""

DECISIONS = (("payment_approved", "payment_declined"), ("stock_reserved", "stock_rejected"))
"""The decisions that are left to chance: a rate is the share of one in its pair."""

_OPTIONS = {"approval_rate": "payment_approved", "stock_rate": "stock_reserved"}


def configured_rates(topology: Topology) -> dict[str, float]:
    """The rates that the topology configures its services with, by the event type that they are the share of."""
    return {
        _OPTIONS[name]: float(value)
        for service in topology.services.values()
        for name, value in service.options.items()
        if name in _OPTIONS
    }


def rival_of(event_type: str) -> str:
    """The other decision of its pair.

    Raises:
        ValueError: The event type is no decision.
    """
    for pair in DECISIONS:
        if event_type in pair:
            return pair[1 - pair.index(event_type)]
    raise ValueError(
        f"{event_type!r} is no decision: use one of {', '.join(name for pair in DECISIONS for name in pair)}"
    )


def tail(hits: int, trials: int, rate: float) -> float:
    """How likely it is to be at least as far off on the same side: P(X <= hits) below the mean, P(X >= hits) above.

    Exact, by summing the binomial's terms from `hits` outwards; they fall off at least geometrically there.

    Args:
        hits: How often it happened.
        trials: How often it could have.
        rate: Its probability, 0 to 1.
    """
    if rate in {0.0, 1.0}:
        return 1.0 if hits == trials * rate else 0.0
    if hits > trials * rate:  # count the misses instead, so that there is only the lower tail
        hits, rate = trials - hits, 1 - rate
    term = exp(_log_probability(hits, trials, rate))
    total = 0.0
    while hits >= 0 and term > total * 1e-17:
        total += term
        term *= hits / (trials - hits + 1) * (1 - rate) / rate
        hits -= 1
    return min(total, 1.0)


def _log_probability(hits: int, trials: int, rate: float) -> float:
    if not 0 <= hits <= trials:
        return -inf
    choices = lgamma(trials + 1) - lgamma(hits + 1) - lgamma(trials - hits + 1)
    return choices + hits * log(rate) + (trials - hits) * log(1 - rate)
