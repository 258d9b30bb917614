"""When EventBridge's schedules are due, and the event that they send. Pure.

"Schedule expression reference" and "Scheduled events" in AWS's EventBridge guide. A rate begins to count when its rule
is enabled. Of cron's characters L, W and # are not understood here.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
_CRON = re.compile(r"cron\(([^()]+)\)")
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1
    )
}
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2199, {}),
)
_LOOK_AHEAD = 366 * 8  # days: the longest way from one 29 February to the next


@dataclass(frozen=True)
class Rate:
    """Every so many seconds."""

    seconds: int

    def next(self, after: datetime, since: datetime) -> datetime:
        """The first time after `after`, counted from `since`."""
        passed = int((after - since).total_seconds() // self.seconds) + 1
        return since + timedelta(seconds=max(1, passed) * self.seconds)


@dataclass(frozen=True)
class Cron:
    """At the minutes that fit all fields, in UTC."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    years: frozenset[int]

    def next(self, after: datetime, since: datetime) -> datetime | None:
        """The first time after `after`; None when there is none. `since` does not matter."""
        del since
        first = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        for ahead in range(_LOOK_AHEAD):
            day = (first + timedelta(days=ahead)).date()
            if (
                day.month not in self.months
                or day.day not in self.days
                or day.isoweekday() % 7 + 1 not in self.weekdays
                or day.year not in self.years
            ):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                    if moment >= first:
                        return moment
        return None


def parse(expression: str) -> Rate | Cron:
    """A schedule expression.

    Raises:
        UsageError: It is none, or uses what is not understood here.
    """
    if match := _RATE.fullmatch(expression):
        number, unit = int(match[1]), match[2]
        if number < 1 or (number == 1) == unit.endswith("s"):
            raise UsageError(f"{expression}: write rate(1 minute), or rate(N minutes) with N of at least 2")
        return Rate(number * _UNITS[unit.removesuffix("s")])
    match = _CRON.fullmatch(expression)
    fields = match[1].split() if match else []
    if len(fields) != len(_FIELDS):
        raise UsageError(f"{expression!r} is no schedule: write rate(5 minutes) or cron(0 12 * * ? *)")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise UsageError(f"{expression}: exactly one of day of month and day of week is to be ?")
    return Cron(*(_field(expression, text, *about) for text, about in zip(fields, _FIELDS, strict=True)))


def event_of(rule: Mapping[str, Any], target: Mapping[str, Any], at: datetime) -> bytes:
    """What the target of a rule is sent.

    Args:
        rule: From ListRules.
        target: From ListTargetsByRule.
        at: When the rule was due.

    Raises:
        UsageError: The target wants a transformer, or a path that is not understood here.
    """
    if target.get("Input") is not None:
        return str(target["Input"]).encode()
    arn = str(rule["Arn"])
    event: Any = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": arn.split(":")[4],
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": arn.split(":")[3],
        "resources": [arn],
        "detail": {},
    }
    if target.get("InputTransformer"):
        raise UsageError(f"{arn}: its target has an input transformer, which is not understood here: use an input")
    if path := target.get("InputPath"):
        for name in str(path).removeprefix("$").split(".")[1:]:
            if not isinstance(event, dict) or name not in event:
                raise UsageError(f"{arn}: its target's InputPath {path} leads nowhere: correct it")
            event = event[name]
    return json.dumps(event).encode()


def _field(expression: str, text: str, name: str, least: int, most: int, names: Mapping[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.upper().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        try:
            every = int(step) if step else 1
            if span in {"*", "?"}:
                low, high = least, most
            else:
                low = names.get(first) or int(first)
                high = (names.get(last) or int(last)) if last else most if step else low
        except ValueError:
            raise UsageError(
                f"{expression}: {part!r} is not understood here as {name}: use numbers and * , - /"
            ) from None
        if not (least <= low <= high <= most) or every < 1:
            raise UsageError(f"{expression}: {part!r} is no {name}: use {least} to {most}")
        found.update(range(low, high + 1, every))
    return frozenset(found)
