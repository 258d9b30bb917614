"""Keeps the processes of a run alive: starts them, restarts what dies, adds up their counts, and ends them cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec

from shopstream.errors import ClusterError, UsageError
from shopstream.runtime.process import EXIT_FENCED, WATCHDOG, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# A process that dies so often without having committed anything dies of something that a restart does not mend.
MOST_RESTARTS = 5
_DRAIN = 20.0  # seconds to commit what is at hand, before a process is killed


class Supervisor:
    """The processes of one run.

    Args:
        tasks: One for each process.
        logs: A directory for their log files.
        tell: Called with a line when something unexpected happens.
    """

    def __init__(self, tasks: Iterable[Task], logs: Path, tell: Callable[[str], None]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [_Child(task, logs / f"{task.service}-{task.instance}.log") for task in tasks]
        self._tell = tell

    def start(self) -> None:
        """Start every process but the source of events: `start_source` is for when the others are ready."""
        for child in self._children:
            if not child.is_source:
                child.start()

    def start_source(self) -> None:
        """Start the source of events."""
        for child in self._children:
            if child.is_source:
                child.start()

    @property
    def patience(self) -> float:
        """Seconds, longer than what mends itself takes: an order without an outcome has lost it by then."""
        return WATCHDOG + 45.0

    @property
    def ready(self) -> bool:
        """Whether every service has been given its partitions, be it to one of its processes or to several."""
        services = {child.task.service for child in self._children if not child.is_source}
        return services == {child.task.service for child in self._children if child.ready}

    def check(self) -> None:
        """Restart what has died.

        Raises:
            ClusterError: A process cannot be kept alive. The message holds its last words.
        """
        for child in self._children:
            code = child.ended()
            if code is None or (code == 0 and child.finished):
                continue
            self._tell(f"{child.name} {_how(code)}: starting it again")
            child.restart(code)

    def stop(self) -> None:
        """Let every process commit what it is at, and end it. None is left afterwards."""
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + _DRAIN
        for child in self._children:
            child.wait(max(0.1, deadline - time.monotonic()))

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each instance, by its name (`<service>-<instance>`)."""
        return {child.name: child.pid for child in self._children}

    def counts(self) -> dict[str, dict[str, Counter[str]]]:
        """For each service: records `read` and events `written`, by topic, over all its processes so far.

        What a killed process did after its last report is missing, so this is for showing progress, not for judging.
        """
        totals: dict[str, dict[str, Counter[str]]] = {}
        for child in self._children:
            total = totals.setdefault(child.task.service, {"read": Counter(), "written": Counter()})
            for kind, counter in total.items():
                counter.update(child.total(kind))
        return totals

    @property
    def source_finished(self) -> bool:
        """Whether the source of events has committed all of them."""
        return all(child.finished for child in self._children if child.is_source)


class _Child:
    """One process, with whatever replaced it when it died."""

    def __init__(self, task: Task, log: Path) -> None:
        self.task = task
        self.name = f"{task.service}-{task.instance}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._report: dict[str, Any] = {}
        self._before: dict[str, Counter[str]] = {"read": Counter(), "written": Counter()}
        self._restarts = 0

    @property
    def is_source(self) -> bool:
        return self.task.run is not None

    @property
    def ready(self) -> bool:
        return self._report.get("partitions") is not None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def finished(self) -> bool:
        return bool(self._report.get("finished"))

    def start(self) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C on the terminal reaches the supervisor, which ends the children in order.
            self._process = subprocess.Popen(
                # -P: no folder of whoever calls may be taken for one of our packages, only because it is named so.
                [sys.executable, "-P", "-m", "shopstream.runtime.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        stdin, stdout = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        self._report = {}
        threading.Thread(target=self._listen, args=(stdout, self._report), daemon=True).start()
        with suppress(BrokenPipeError):  # it died at once; `ended` will tell
            stdin.write(msgspec.json.encode(self.task) + b"\n")
            stdin.flush()

    def ended(self) -> int | None:
        return self._process.poll() if self._process else None

    def total(self, kind: str) -> Counter[str]:
        return self._before[kind] + Counter(self._report.get(kind, {}))

    def restart(self, code: int) -> None:
        self._restarts = 0 if self._report.get("batches") else self._restarts + 1
        if code in {EXIT_FENCED, UsageError.exit_code} or self._restarts > MOST_RESTARTS:
            raise ClusterError(f"{self.name} cannot be kept alive ({_how(code)}): {self._last_words()}")
        if not self.is_source:  # a source reports what stands on the topic, not what it did itself
            self._before = {kind: self.total(kind) for kind in self._before}
        self._close()
        self.start()

    def terminate(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    @staticmethod
    def _listen(stdout: IO[bytes], report: dict[str, Any]) -> None:
        # Each process has a report of its own, so that the last words of a dead one are not taken for its successor's.
        with stdout:
            for line in stdout:
                with suppress(ValueError):  # a line that something else printed
                    report.update(json.loads(line))

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (see {self._log})"


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
