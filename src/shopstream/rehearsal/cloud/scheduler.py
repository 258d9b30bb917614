"""Which rule is due, and asynchronous invocations with their retries."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shopstream.errors import ShopstreamError
from shopstream.lambdas.function import new_trace_id
from shopstream.rehearsal.cloud import schedules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from shopstream.lambdas.results import Invocation

RETRY_AFTER = (60.0, 120.0)
"""Seconds until a failed asynchronous invocation is tried again ("How Lambda handles errors and retries with
asynchronous invocation": one minute, then two)."""
_THROTTLED, _LONGEST_THROTTLED, _OLDEST = 1.0, 300.0, 6 * 3600.0
_AT_ONCE = 8
_KEPT = 200


@dataclass(frozen=True)
class Due:
    """A rule that is due.

    Attributes:
        rule: From ListRules, with its targets.
        at: When it was due.
    """

    rule: dict[str, Any]
    at: datetime


class Schedule:
    """Knows when each rule is due. Not safe for several threads.

    Args:
        tell: Told in a line which rule cannot be followed.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rules: dict[str, dict[str, Any]] = {}
        self._next: dict[str, datetime | None] = {}
        self._since: dict[str, datetime] = {}
        self._fired: dict[str, int] = {}

    def follow(self, rules: Iterable[dict[str, Any]], now: datetime) -> None:
        """Go on with these rules. One that is new, enabled again or has another expression begins to count now."""
        current = {str(rule["Arn"]): rule for rule in rules}
        for arn, rule in current.items():
            former = self._rules.get(arn, {})
            if any(former.get(name) != rule.get(name) for name in ("ScheduleExpression", "State")):
                self._since[arn] = now
                self._next[arn] = self._first(rule, now)
        for arn in self._rules.keys() - current.keys():
            self._next.pop(arn, None)
        self._rules = current

    def due(self, now: datetime) -> Iterator[Due]:
        """The rules that are due by now. What was missed is made up for once, not as often as it was missed."""
        for arn, at in list(self._next.items()):
            if at is not None and at <= now:
                self._fired[arn] = self._fired.get(arn, 0) + 1
                self._next[arn] = schedules.parse(self._rules[arn]["ScheduleExpression"]).next(now, self._since[arn])
                yield Due(self._rules[arn], at)

    def named(self, name: str) -> dict[str, Any] | None:
        """A rule by its name or ARN."""
        return next((rule for rule in self._rules.values() if name in {rule["Name"], rule["Arn"]}), None)

    def status(self) -> list[dict[str, Any]]:
        """Each rule with when it is next due, and how often it was."""
        return [
            {
                "rule": rule["Name"],
                "expression": rule["ScheduleExpression"],
                "state": rule.get("State"),
                "next": at.isoformat() if (at := self._next.get(arn)) else None,
                "fired": self._fired.get(arn, 0),
            }
            for arn, rule in self._rules.items()
        ]

    def _first(self, rule: dict[str, Any], now: datetime) -> datetime | None:
        if not str(rule.get("State", "")).startswith("ENABLED"):
            return None
        try:
            return schedules.parse(str(rule["ScheduleExpression"])).next(now, now)
        except ShopstreamError as error:
            self._tell(f"rule {rule['Name']} is not followed: {error}")
            return None


class Asynchronous:
    """Invocations that nobody waits for.

    A failed one is tried again twice with the same request id; a throttled one, with growing pauses, for six hours.

    Args:
        invoke: Runs a function: its name, the payload, the request id, the trace.
        done: Told about each attempt: the function, its number from 1, how it went, and whether another follows.
        retry_after: Seconds until each retry.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        invoke: Callable[[str, bytes, str, str], Invocation],
        done: Callable[[str, int, Invocation, bool], None],
        *,
        retry_after: tuple[float, ...] = RETRY_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._invoke = invoke
        self._done = done
        self._retry_after = retry_after
        self._clock = clock
        self._waiting: list[tuple[float, int, _Call]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._executor = ThreadPoolExecutor(_AT_ONCE, "asynchronous")
        self._thread = threading.Thread(target=self._run, name="asynchronous", daemon=True)
        self._under_way = 0
        self.outcomes: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the attempts at hand. What waits for another is dropped."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown()

    def submit(self, function: str, payload: bytes) -> str:
        """Accept an invocation; its request id comes back."""
        call = _Call(function, payload, str(uuid.uuid4()), new_trace_id(), self._clock())
        self._later(0.0, call)
        return call.request_id

    @property
    def pending(self) -> int:
        """Invocations that are under way or wait for another attempt."""
        with self._changed:
            return len(self._waiting) + self._under_way

    def _later(self, seconds: float, call: _Call) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (self._clock() + seconds, next(self._number), call))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (not self._waiting or self._waiting[0][0] > self._clock()):
                    self._changed.wait(self._waiting[0][0] - self._clock() if self._waiting else None)
                if self._stopped:
                    return
                _, _, call = heapq.heappop(self._waiting)
                self._under_way += 1
            self._executor.submit(self._attempt, call)

    def _attempt(self, call: _Call) -> None:
        try:
            result = self._invoke(call.function, call.payload, call.request_id, call.trace)
            pause = self._pause(call, result)
            if pause is not None and not self._stopped:
                self._later(pause, call)
            self.outcomes.append(
                {
                    "function": call.function,
                    "request_id": call.request_id,
                    "attempt": call.attempts,
                    "error": result.error,
                    "again": pause is not None,
                }
            )
            self._done(call.function, call.attempts, result, pause is not None)
        except ShopstreamError as error:
            self.outcomes.append(
                {"function": call.function, "request_id": call.request_id, "error": str(error), "again": False}
            )
        finally:
            with self._changed:
                self._under_way -= 1

    def _pause(self, call: _Call, result: Invocation) -> float | None:
        """Seconds until the next attempt; None for none."""
        if result.throttled:
            call.throttled += 1
            old = self._clock() - call.accepted > _OLDEST
            return None if old else min(_LONGEST_THROTTLED, _THROTTLED * 2 ** (call.throttled - 1))
        call.attempts += 1
        if result.error is None or call.attempts > len(self._retry_after):
            return None
        return self._retry_after[call.attempts - 1]


@dataclass
class _Call:
    """An invocation that was accepted."""

    function: str
    payload: bytes
    request_id: str
    trace: str
    accepted: float
    attempts: int = 0
    throttled: int = 0
