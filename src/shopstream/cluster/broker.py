"""One broker process: started so that it outlives us, recognised again later, stopped, and questioned when it died."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from shopstream.cluster import ports
from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shopstream.cluster.layout import Node

_POLL_S = 0.005
_KILLED_S = 10.0
_LOG_TAIL = 200_000
# Starts a program in the background and notes its pid. The shell is gone a moment later, so the program is nobody's
# child: it outlives us, and no zombie of it stays with us.
_LAUNCH = 'log=$1; pid=$2; shift 2; "$@" </dev/null >"$log" 2>&1 & echo $! >"$pid"'
_TELLING = re.compile(r"\b(?:ERROR|FATAL)\b|Exception|^Caused by|^Error|OutOfMemory|No space left")


class BrokerDiedError(ClusterError):
    """A broker's process ended while it was starting."""


@dataclass(frozen=True)
class Broker:
    """A broker in its directory, running or not."""

    node: Node
    directory: Path

    @property
    def properties(self) -> Path:
        """server.properties: also what its process is recognised by."""
        return self.directory / "server.properties"

    @property
    def data(self) -> Path:
        """Where it keeps its records."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What it printed since its last start."""
        return self.directory / "server.log"

    @property
    def temporary(self) -> Path:
        """What its libraries unpack. They delete it when it stops, but not when it is killed: so it is emptied."""
        return self.directory / "tmp"

    @property
    def _pid(self) -> Path:
        return self.directory / "pid"

    @property
    def formatted(self) -> bool:
        """Whether its data directory is ready for use."""
        return (self.data / "meta.properties").is_file()

    @property
    def closed(self) -> bool:
        """Whether it has closed its data: Kafka's own sign, made when all is on disk, removed at the next start."""
        return (self.data / ".kafka_cleanshutdown").exists()

    @property
    def died(self) -> bool:
        """Whether it was started and never stopped, and yet does not run."""
        return self._pid.exists() and self.process() is None

    def process(self) -> psutil.Process | None:
        """The running process, or None. A pid that belongs to somebody else by now is not taken for ours."""
        try:
            process = psutil.Process(int(self._pid.read_text(encoding="ascii")))
            if process.status() == psutil.STATUS_ZOMBIE:  # in a container nobody may ever collect it
                return None
            command = process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        # For an instant, while the system loads its program, a process has no command line.
        return process if not command or str(self.properties) in command else None

    def start(self, command: Sequence[str]) -> None:
        """Start the process. Its output goes to the log; that of the run before is kept beside it.

        Args:
            command: The command line. It must name this broker's properties file.

        Raises:
            ClusterError: The program could not be started at all.
        """
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        shutil.rmtree(self.temporary, ignore_errors=True)
        try:
            self.temporary.mkdir(mode=0o700)
            subprocess.run(
                ["/bin/sh", "-c", _LAUNCH, "sh", str(self.log), str(self._pid), *command],
                check=True,
                start_new_session=True,  # so that Ctrl-C in our terminal does not reach it
                cwd=self.directory,  # where a JVM that crashes leaves its report
                umask=0o077,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ClusterError(f"broker {self.node.id} cannot be started: {error}") from error

    def wait_until_open(self, deadline: float) -> None:
        """Wait until the broker accepts clients.

        Args:
            deadline: Until when, on the monotonic clock.

        Raises:
            BrokerDiedError: Its process ended.
            ClusterError: Time is up. Both with what its log says.
        """
        while not ports.answers(self.node.client_port):
            if self.process() is None:
                raise BrokerDiedError(f"broker {self.node.id} died while it started; its log says\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"broker {self.node.id} runs, but did not listen on port {self.node.client_port} in time; "
                    f"{self.log} says\n{self.last_words()}"
                )
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """End the broker at once, as a power cut would. It then counts as died, not as stopped.

        Raises:
            ClusterError: It survived that, which only a process stuck in the kernel does.
        """
        process = self.process()
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            for member in (*process.children(recursive=True), process):  # a JVM in training has a helper
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        deadline = time.monotonic() + _KILLED_S
        while self.process():
            if time.monotonic() > deadline:
                raise ClusterError(f"broker {self.node.id}, process {process.pid}, cannot be killed")
            time.sleep(_POLL_S)

    def forget(self) -> None:
        """Take it for stopped on purpose from now on."""
        self._pid.unlink(missing_ok=True)

    def last_words(self, lines: int = 12) -> str:
        """Why the broker died, as far as its log tells: the telling lines, indented, ready to be shown."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _LOG_TAIL))
                text = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return "  nothing: there is no log"
        text = [line for line in text if line.strip() and not line.lstrip().startswith("at ")]
        shown = [line for line in text if _TELLING.search(line)] or text
        return "\n".join(f"  {line[:300]}" for line in shown[-lines:]) or "  nothing"

    @property
    def refused_cache(self) -> bool:
        """Whether the JVM could not use its ahead-of-time cache, as the first lines of the log tell."""
        with self.log.open("rb") as file:
            return b"Unable to map shared spaces" in file.read(2000)

    @property
    def disk_was_full(self) -> bool:
        """Whether its log tells of a full disk."""
        return "No space left on device" in self.last_words(lines=1000)


def stop(brokers: Sequence[Broker], timeout: float, linger: float) -> tuple[int, ...]:
    """Stop brokers together: ask them, wait, and kill those that stay.

    Args:
        brokers: Those to stop, running or not.
        timeout: How long they may take to close their data, in seconds.
        linger: How long a process may stay when there is nothing left to wait for, in seconds.

    Returns:
        The ids of those that were running.
    """
    running = [broker for broker in brokers if broker.process()]
    were_running = tuple(broker.node.id for broker in running)
    for broker in running:
        if process := broker.process():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
    deadline = time.monotonic() + timeout
    idle_since: dict[int, float] = {}
    while running := [broker for broker in running if broker.process()]:
        now = time.monotonic()
        for broker in running:
            # The last of three finds no majority of controllers any more, and waits for one in vain: five minutes
            # while it still listens, and five seconds once its data are closed.
            left_alone = len(running) == 1 < len(brokers) and ports.answers(broker.node.client_port)
            if broker.closed or left_alone:
                idle_since.setdefault(broker.node.id, now)
            if now > deadline or now - idle_since.get(broker.node.id, now) > linger:
                broker.kill()
        time.sleep(_POLL_S)
    for broker in brokers:
        broker.forget()
    return were_running
