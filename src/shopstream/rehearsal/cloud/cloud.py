"""Runs what an account holds, and follows its changes."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from shopstream.errors import AwsError, ShopstreamError, UsageError
from shopstream.rehearsal.cloud import schedules
from shopstream.rehearsal.cloud.log_groups import LogSender
from shopstream.rehearsal.cloud.programs import CodeStore, Programs, Snapshot, programs_of
from shopstream.rehearsal.cloud.scheduler import RETRY_AFTER, Asynchronous, Due, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from shopstream.lambdas.model import Faults, FunctionConfig, MappingConfig
    from shopstream.lambdas.results import Invocation, MappingCounts
    from shopstream.rehearsal.cloud.account import Account

_TICK = 0.2  # seconds between two looks at the clock


class Host(Protocol):
    """What runs functions and mappings: `LambdaHost`, which has more than this."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Finish the batches at hand, and end."""

    def change(self, functions: Iterable[FunctionConfig], mappings: Iterable[MappingConfig]) -> None:
        """Go on with exactly these."""

    def change_faults(self, faults: Faults, function: str | None = None) -> None:
        """Let this go wrong from now on."""

    def invoke(
        self, function: str, payload: bytes, *, request_id: str | None = None, trace_id: str | None = None
    ) -> Invocation:
        """Run a function once."""

    def restart_pollers(self) -> None:
        """Replace every poller at once."""

    def counts(self) -> dict[str, MappingCounts]:
        """What each mapping has done."""

    def processes(self) -> dict[str, tuple[int, ...]]:
        """The process ids of each function's environments."""

    @property
    def ready(self) -> bool:
        """Whether every partition has a poller."""


class Cloud:
    """Lambda and EventBridge of one account. A context manager: entering starts it, leaving stops it.

    Args:
        account: What is run.
        host: Makes what runs it, given what is to be called with each function's name and lines. It begins empty.
        home: A directory for the functions' code.
        tell: Told what happens: a word for the kind, and what belongs to it by name. Called from several threads.
        poll: Seconds between two looks at the account.
        retry_after: Seconds until each retry of a failed asynchronous invocation.
        now: The time.
    """

    def __init__(
        self,
        account: Account,
        host: Callable[[Callable[[str, str], None]], Host],
        *,
        home: Path,
        tell: Callable[..., None],
        poll: float = 1.0,
        retry_after: tuple[float, ...] = RETRY_AFTER,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._account = account
        self._tell = tell
        self._poll = poll
        self._now = now
        self._code = CodeStore(home / "code", account.code)
        self.logs = LogSender(account, lambda text: tell("logs", text=text))
        self._host = host(self.logs.take)
        self._schedule = Schedule(lambda text: tell("schedule", text=text))
        self._asynchronous = Asynchronous(self._run_once, self._attempted, retry_after=retry_after)
        self._programs = Programs()
        self._snapshot: Snapshot | None = None
        self._unreachable = ""
        self._ready = False
        self._lock = threading.Lock()  # of what follows the account: the schedule is asked for by others too
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="cloud", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to run what the account holds.

        Raises:
            UsageError: There is nothing here that can run functions.
        """
        self._host.start()
        self.logs.start()
        self._asynchronous.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish what is at hand, send the last log lines, and end."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._asynchronous.stop()
        self._host.stop()
        self.logs.stop()

    # What the control socket offers

    def invoke(self, function: str, payload: bytes) -> Invocation:
        """Run a function once and wait for its answer, as `aws lambda invoke` does.

        Raises:
            UsageError: There is no such function.
        """
        result = self._host.invoke(function, payload)
        self._tell("invoked", function=function, request_id=result.request_id, error=result.error)
        return result

    def invoke_later(self, function: str, payload: bytes) -> str:
        """Accept an asynchronous invocation, as `--invocation-type Event` does. Its request id comes back.

        Raises:
            UsageError: There is no such function.
        """
        if function not in self._programs.functions:
            known = ", ".join(self._programs.functions) or "none"
            raise UsageError(f"there is no function {function!r}; there are: {known}")
        return self._asynchronous.submit(function, payload)

    def fire(self, rule: str) -> None:
        """Let a rule's schedule be due now, whatever its clock says.

        Raises:
            UsageError: There is no such rule.
        """
        with self._lock:
            found = self._schedule.named(rule)
        if found is None:
            raise UsageError(f"there is no rule {rule!r} with a schedule: look at the status for those that there are")
        self._fire(Due(found, self._now()), by_hand=True)

    def change_faults(self, faults: Faults, function: str | None = None) -> None:
        """Let this go wrong from now on, at the mappings of one function or at all."""
        self._host.change_faults(faults, function)
        self._tell("faults", function=function, **asdict(faults))

    def restart_pollers(self) -> None:
        """Replace every poller at once."""
        self._host.restart_pollers()
        self._tell("pollers-replaced")

    def status(self) -> dict[str, Any]:
        """What is run, and how it goes."""
        programs, counts, processes = self._programs, self._host.counts(), self._host.processes()
        with self._lock:
            schedule = self._schedule.status()
        return {
            "ready": self._ready and self._host.ready,
            "functions": {
                name: {
                    "code_sha256": programs.hashes[name],
                    "handler": config.handler,
                    "log_group": programs.groups[name],
                    "processes": list(processes.get(name, ())),
                }
                for name, config in programs.functions.items()
            },
            "mappings": {uuid: asdict(each) for uuid, each in counts.items()},
            "problems": programs.problems | ({"api": self._unreachable} if self._unreachable else {}),
            "schedules": schedule,
            "asynchronous": {
                "pending": self._asynchronous.pending,
                "outcomes": list(self._asynchronous.outcomes),
            },
            "logs": {"sent": self.logs.sent, "waiting": self.logs.waiting, "lost": self.logs.lost},
        }

    # Following the account

    def look(self) -> None:
        """Take up what has changed since the last look."""
        try:
            snapshot = self._read()
        except AwsError as error:
            if not self._unreachable:
                self._tell("api", text=f"the account cannot be read, what runs goes on: {error}")
            self._unreachable = str(error)
            return
        if self._unreachable:
            self._tell("api", text="the account can be read again")
            self._unreachable = ""
        with self._lock:
            self._schedule.follow(snapshot.rules, self._now())
        if snapshot != self._snapshot or self._programs.passing:
            self._take_up(snapshot)
            self._snapshot = snapshot
        self._ready = True

    def _read(self) -> Snapshot:
        functions = self._account.functions()
        return Snapshot(
            functions=tuple(functions),
            concurrency={
                each["FunctionName"]: self._account.reserved_concurrency(each["FunctionName"]) for each in functions
            },
            mappings=tuple(self._account.mappings()),
            rules=tuple(self._account.rules()),
        )

    def _take_up(self, snapshot: Snapshot) -> None:
        before = self._programs
        programs = programs_of(snapshot, self._code, before)
        self.logs.groups(programs.groups)
        if (programs.functions, programs.mappings) != (before.functions, before.mappings):
            try:
                self._host.change(programs.functions.values(), programs.mappings.values())
            except ShopstreamError as error:
                problems = {**programs.problems, "account": str(error)}
                programs = Programs(
                    before.functions, before.hashes, before.groups, before.mappings, problems, passing=True
                )
        self._programs = programs
        self._tell_changes(before, programs)

    def _tell_changes(self, before: Programs, after: Programs) -> None:
        for name in before.functions.keys() | after.functions.keys():
            old, new = before.functions.get(name), after.functions.get(name)
            if old != new:
                what = "gone" if new is None else "updated" if old else "there"
                self._tell("function", function=name, change=what, code_sha256=after.hashes.get(name))
        for uuid in before.mappings.keys() | after.mappings.keys():
            was, now = before.mappings.get(uuid), after.mappings.get(uuid)
            if was != now:
                about = now or was
                self._tell(
                    "mapping",
                    uuid=uuid,
                    topic=about.topic if about else None,
                    function=about.function if about else None,
                    change="gone" if now is None else "updated" if was else "there",
                    enabled=bool(now and now.enabled),
                )
        for name, text in after.problems.items():
            if before.problems.get(name) != text:
                self._tell("problem", about=name, text=text)

    def _follow(self) -> None:
        looked = -self._poll
        was_ready = False
        while not self._stopped.wait(_TICK if looked >= 0 else 0):
            try:
                if time.monotonic() - looked >= self._poll:
                    self.look()
                    looked = time.monotonic()
                with self._lock:
                    due = list(self._schedule.due(self._now()))
                for each in due:
                    self._fire(each)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen, and following goes on
                self._tell("trouble", text=f"{type(error).__name__}: {error}")
                looked = time.monotonic()
            ready = self._ready and any(each.enabled for each in self._programs.mappings.values()) and self._host.ready
            if ready != was_ready:
                self._tell("ready" if ready else "not-ready")
                was_ready = ready

    # EventBridge

    def _fire(self, due: Due, *, by_hand: bool = False) -> None:
        for target in due.rule.get("Targets", ()):
            self._invoke_target(due, target, by_hand=by_hand)

    def _invoke_target(self, due: Due, target: Mapping[str, Any], *, by_hand: bool) -> None:
        rule, arn = due.rule, str(target["Arn"])
        parts = arn.split(":")
        try:
            if parts[2] != "lambda":
                raise UsageError(f"its target {arn} is no function: only functions are invoked here")
            if not self._account.may_invoke(parts[6], rule["Arn"]):
                raise UsageError(
                    f"the policy of {parts[6]} does not let events.amazonaws.com invoke it for {rule['Arn']}: add a "
                    "permission (aws_lambda_permission)"
                )
            request = self.invoke_later(parts[6], schedules.event_of(rule, target, due.at))
        except ShopstreamError as error:
            self._tell("schedule", rule=rule["Name"], target=target.get("Id"), text=str(error))
            return
        self._tell(
            "scheduled",
            rule=rule["Name"],
            function=parts[6],
            request_id=request,
            due=due.at.isoformat(timespec="seconds"),
            by_hand=by_hand,
        )

    def _run_once(self, function: str, payload: bytes, request_id: str, trace: str) -> Invocation:
        return self._host.invoke(function, payload, request_id=request_id, trace_id=trace)

    def _attempted(self, function: str, attempt: int, result: Invocation, again: bool) -> None:
        self._tell(
            "attempt",
            function=function,
            request_id=result.request_id,
            attempt=attempt,
            error=result.error,
            again=again,
            answer=_shown(result.payload),
        )


def _shown(payload: bytes) -> str:
    with suppress(UnicodeDecodeError):
        return payload.decode()[:500]
    return f"{len(payload)} bytes"
