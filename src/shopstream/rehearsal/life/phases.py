"""The phases of a rehearsal, and which of them a command means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Phase:
    """One step of the life.

    Attributes:
        name: As the command line has it.
        about: What happens in it.
        stands: Whether it needs what `ground` has laid and what the phases after it have built.
    """

    name: str
    about: str
    stands: bool = True


PHASES = (
    Phase("needs", "what this machine must have", stands=False),
    Phase("supplies", "the image, packages and artifacts that the machines install", stands=False),
    Phase("zips", "the functions' zips and the wheel, by the production's scripts", stands=False),
    Phase("ground", "a network, the supplies' server, an empty account in place of AWS", stands=False),
    Phase("infrastructure", "deploy_all.sh --infrastructure-only: Terraform applies all of it"),
    Phase("boot", "a machine for each instance that the account holds"),
    Phase("firewall", "the security groups as rules between the machines"),
    Phase("configure", "deploy_all.sh: Ansible, then Lambda may poll, then AWS is asked"),
    Phase("poll", "the zips run on what the account says; their pollers reach the brokers"),
    Phase("flow", "orders by hand, until all of them have come to an end"),
    Phase("judge", "deploy_all.sh --verify: the auditor, the logs, the monitors"),
    Phase("faults", "a broker crashes, batches fail and come twice, while orders come by schedule; judged again"),
    Phase("change", "deploy_all.sh once more, with a new service: only that is changed; judged again"),
    Phase("teardown", "destroy_all.sh; nothing is left in the account and on this machine"),
)
NAMES = tuple(phase.name for phase in PHASES)
GROUND, LAST = "ground", "teardown"
"""What the phases after it have built is gone when the first of these begins; the last one clears everything away."""
_ONLY_LOOK = {"judge", "faults", "change"}
"""They build nothing that a later phase needs."""


def named(name: str) -> Phase:
    """The phase of that name.

    Raises:
        UsageError: There is none.
    """
    for phase in PHASES:
        if phase.name == name:
            return phase
    raise UsageError(f"there is no phase {name!r}; there are: {', '.join(NAMES)}")


def chosen(
    *, begin: str | None = None, only: str | None = None, keep: bool = False, done: Collection[str] = ()
) -> tuple[Phase, ...]:
    """Which phases a command means.

    Args:
        begin: `--from`.
        only: `--only`.
        keep: `--keep`: without the last one.
        done: The phases that a kept rehearsal has behind it.

    Raises:
        UsageError: Both are given, or a name is no phase's.
        RehearsalError: What the first of them stands on has not been done.
    """
    if begin and only:
        raise UsageError("--from and --only exclude each other")
    first = named(begin or only or NAMES[0])
    at = PHASES.index(first)
    if first.stands:
        needed = [phase.name for phase in PHASES[:at] if phase.name not in _ONLY_LOOK]
        if first.name == LAST:
            needed = ["ground"]
        if lacking := [name for name in needed if name not in done]:
            raise RehearsalError(
                f"{first.name} stands on {lacking[0]}, which has not been done, or is not kept: "
                f"`shopstream rehearse --keep --from {lacking[0]}`, or without --from"
            )
    if only:
        return (first,)
    phases = PHASES[at:]
    return tuple(phase for phase in phases if not (keep and phase.name == LAST))
