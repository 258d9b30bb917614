"""A local Lambda: functions, and the event source mappings that feed them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from shopstream.errors import UsageError
from shopstream.lambdas.function import IDLE, Function
from shopstream.lambdas.mapping import RunningMapping
from shopstream.lambdas.model import Faults, check_together
from shopstream.lambdas.runtime_api import LARGEST_RESPONSE
from shopstream.lambdas.spawner import Spawner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from shopstream.lambdas.destination import Destinations
    from shopstream.lambdas.model import FunctionConfig, MappingConfig
    from shopstream.lambdas.results import Invocation, MappingCounts
    from shopstream.lambdas.runtime import Runtime
    from shopstream.lambdas.secrets import Secrets
    from shopstream.lambdas.source import Source
    from shopstream.settings import GroupProtocol

_TICK = 0.5  # seconds
_MOST_ON_DEMAND = 8


class LambdaHost:
    """Runs functions and their mappings. A context manager: entering starts it, leaving stops it.

    Args:
        functions: The functions.
        mappings: What feeds them.
        secrets: Where the mappings' passwords and certificates are.
        runtime: What runs the functions.
        home: A directory for unpacked code and logs (`logs/<function>.log`).
        tell: Told in a line what goes wrong with a mapping, and when it is mended. Called from several threads.
        faults: What goes wrong on purpose.
        environment: Variables that every function gets beside Lambda's and its own: AWS_ENDPOINT_URL, credentials.
        freeze: Whether a function's processes stand still between invocations, as in Lambda.
        destinations: Where what is given up can be sent; None only tells and counts it.
        group_protocol: `classic`, as AWS's pollers speak it, or `consumer` (KIP-848, Kafka 4.0 and later).
        most_pollers: The most pollers for a mapping in on-demand mode, and to begin with in provisioned mode; by
            default as many as there are processors, and at most 8.
        log_listener: Called with a function's name and each line of its log. Called from several threads.

    Raises:
        UsageError: The functions and mappings do not go together.
    """

    def __init__(
        self,
        functions: Iterable[FunctionConfig],
        mappings: Iterable[MappingConfig],
        *,
        secrets: Secrets,
        runtime: Runtime,
        home: Path,
        tell: Callable[[str], None],
        faults: Faults | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        freeze: bool = True,
        destinations: Destinations | None = None,
        group_protocol: GroupProtocol = "classic",
        most_pollers: int | None = None,
        log_listener: Callable[[str, str], None] | None = None,
    ) -> None:
        self._configs, self._mapping_configs = list(functions), list(mappings)
        check_together(self._configs, self._mapping_configs)
        self._secrets = secrets
        self._runtime = runtime
        self._home = home
        self._tell = tell
        self._faults = faults or Faults()
        self._environment = environment
        self._freeze = freeze
        self._destinations = destinations
        self._group_protocol: GroupProtocol = group_protocol
        self._most_pollers = most_pollers or min(os.cpu_count() or 1, _MOST_ON_DEMAND)
        self._log_listener = log_listener
        self._functions: dict[str, Function] = {}
        self._mappings: dict[str, RunningMapping] = {}
        self._spawner: Spawner | None = None
        self._stopped = threading.Event()
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Prepare the runtime and the code, and begin to poll.

        Raises:
            UsageError: There is no runtime, or a zip cannot be used.
        """
        if self._spawner is not None:
            raise UsageError("this host has been started before: make a new one")
        python = self._runtime.python()
        self._spawner = Spawner()
        try:
            for config in self._configs:
                self._functions[config.name] = Function(
                    config,
                    python=python,
                    spawner=self._spawner,
                    home=self._home,
                    environment=self._environment,
                    listener=self._listener(config.name),
                    freeze=self._freeze,
                )
        except BaseException:
            self.stop()
            raise
        for mapping in self._mapping_configs:
            running = RunningMapping(
                mapping,
                self._functions[mapping.function],
                self._opener(mapping),
                tell=self._tell,
                faults=self._faults,
                destinations=self._destinations,
                most_pollers=self._most_pollers,
            )
            self._mappings[mapping.uuid] = running
            running.start()
        self._keeper = threading.Thread(target=self._keep, name="lambda-host", daemon=True)
        self._keeper.start()

    def stop(self, patience: float = 30.0) -> None:
        """Let every poller finish its invocation, end all processes. Nothing is left afterwards. May be called again.

        Args:
            patience: Seconds for the invocations at hand; then their processes are killed, and their batches will be
                delivered again.
        """
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join()
        for mapping in self._mappings.values():
            mapping.stop()
        deadline = time.monotonic() + patience
        done = [mapping.join(max(0.0, deadline - time.monotonic())) for mapping in self._mappings.values()]
        for function in self._functions.values():
            function.close()
        if not all(done):
            for mapping in self._mappings.values():
                mapping.join(patience)
        self._functions.clear()
        if self._spawner is not None:
            self._spawner.close()

    def invoke(
        self, function: str, payload: bytes, *, request_id: str | None = None, trace_id: str | None = None
    ) -> Invocation:
        """Run a function once and wait for its answer, as `aws lambda invoke` does.

        Args:
            function: Its name.
            payload: The event, as JSON.
            request_id: Its id; AWS repeats it when it retries an asynchronous invocation.
            trace_id: The X-Ray trace header, which AWS then repeats too.

        Raises:
            UsageError: There is no such function, or the payload is too large.
        """
        found = self._functions.get(function)
        if found is None:
            raise UsageError(f"there is no function {function!r}; there are: {', '.join(self._functions) or 'none'}")
        if len(payload) > LARGEST_RESPONSE:
            raise UsageError(f"the payload has {len(payload)} bytes: Lambda takes {LARGEST_RESPONSE} (6 MB)")
        return found.invoke(payload, request_id, trace_id)

    @property
    def ready(self) -> bool:
        """Whether every partition of every enabled mapping's topic has a poller."""
        return all(mapping.ready for mapping in self._mappings.values())

    def counts(self) -> dict[str, MappingCounts]:
        """What each mapping has done so far, by its UUID."""
        return {uuid: mapping.counts() for uuid, mapping in self._mappings.items()}

    def processes(self) -> dict[str, tuple[int, ...]]:
        """The process ids of each function's environments, by its name: for those who want to kill one."""
        return {name: function.pids for name, function in self._functions.items()}

    def log(self, function: str) -> Path:
        """The log file of a function."""
        return self._home / "logs" / f"{function}.log"

    def restart_pollers(self) -> None:
        """Replace every poller at once, whatever it is at: what is not committed is delivered again."""
        for mapping in self._mappings.values():
            mapping.restart()

    def _opener(self, mapping: MappingConfig) -> Callable[[int], Source]:
        def open_source(number: int) -> Source:
            from shopstream.lambdas.kafka_source import KafkaSource

            client_id = f"{mapping.function}-{number}"
            return KafkaSource(mapping, self._secrets, client_id, self._group_protocol)

        return open_source

    def _listener(self, name: str) -> Callable[[str], None] | None:
        listener = self._log_listener
        return None if listener is None else lambda line: listener(name, line)

    def _keep(self) -> None:
        """Adjust the pollers, and end what has been idle for long."""
        while not self._stopped.wait(_TICK):
            for mapping in self._mappings.values():
                mapping.decide(time.monotonic())
            for function in self._functions.values():
                with contextlib.suppress(OSError):
                    function.expire(IDLE)
