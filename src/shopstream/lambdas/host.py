"""A local Lambda: functions, and the event source mappings that feed them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from shopstream.errors import UsageError
from shopstream.lambdas.environment import INIT_LIMIT
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
_LEAVE_WITHIN = 10.0  # seconds for pollers to leave their groups once the functions' processes are gone
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
        # Both are replaced and never changed in place: several threads go through them.
        self._changing = threading.Lock()
        self._retiring: list[threading.Thread] = []
        self._python: Path | None = None
        self._spawner: Spawner | None = None
        self._stopped = threading.Event()
        self._ended = False
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
        self._python = self._runtime.python()
        self._spawner = Spawner()
        try:
            self.change(self._configs, self._mapping_configs)
        except BaseException:
            self.stop()
            raise
        self._keeper = threading.Thread(target=self._keep, name="lambda-host", daemon=True)
        self._keeper.start()

    def change(self, functions: Iterable[FunctionConfig], mappings: Iterable[MappingConfig]) -> None:
        """Go on with exactly these functions and mappings. What stays the same is not disturbed.

        A changed function is run by new environments; a changed mapping gets new pollers and keeps its counts. Batches
        at hand are finished by what began them, and committed; this method does not wait for that.

        Args:
            functions: The functions.
            mappings: What feeds them.

        Raises:
            UsageError: They do not go together, or a zip cannot be used. Then all is as before.
        """
        functions, mappings = list(functions), list(mappings)
        check_together(functions, mappings)
        with self._changing:
            if self._spawner is None or self._stopped.is_set():
                raise UsageError("this host is not running: start a new one")
            before, fed = self._functions, self._mappings
            made = self._made([each for each in functions if each.name not in before])
            now = {each.name: made.get(each.name) or before[each.name] for each in functions}
            for config in functions:
                now[config.name].update(config)
            kept = {
                each.uuid: fed[each.uuid] for each in mappings if each.uuid in fed and fed[each.uuid].config == each
            }
            left = [running for uuid, running in fed.items() if uuid not in kept]
            for running in left:
                running.stop()
            new = {
                each.uuid: self._running(each, now[each.function], fed.get(each.uuid))
                for each in mappings
                if each.uuid not in kept
            }
            self._functions, self._mappings = now, {each.uuid: (kept | new)[each.uuid] for each in mappings}
            for running in new.values():
                running.start()
            self._retire(left, [function for name, function in before.items() if name not in now])

    def change_faults(self, faults: Faults, function: str | None = None) -> None:
        """Let this go wrong from now on, instead of what has gone wrong so far.

        Args:
            faults: What.
            function: At the mappings of this function only; by default at all of them, future ones included.

        Raises:
            UsageError: No mapping feeds such a function.
        """
        found = [each for each in self._mappings.values() if function in {None, each.config.function}]
        if function is None:
            self._faults = faults
        elif not found:
            raise UsageError(f"no mapping feeds a function {function!r}: name one that a mapping feeds")
        for mapping in found:
            mapping.change_faults(faults)

    def stop(self, patience: float = 30.0) -> None:
        """Let every poller finish its invocation, end all processes. Nothing is left afterwards.

        May be called again: when all has ended it does nothing, and when the first call was interrupted, it ends the
        invocations at hand at once.

        Args:
            patience: Seconds for the invocations at hand; then their processes are killed, and their batches will be
                delivered again.
        """
        if self._ended:
            return
        if self._stopped.is_set():
            patience = 0.0
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join()
        with self._changing:  # a change that is under way is completed first
            pass
        for mapping in self._mappings.values():
            mapping.stop()
        deadline = time.monotonic() + patience
        done = [mapping.join(max(0.0, deadline - time.monotonic())) for mapping in self._mappings.values()]
        for thread in self._retiring:
            thread.join(max(0.0, deadline - time.monotonic()))
        for function in self._functions.values():
            function.close()
        if not all(done):
            deadline = time.monotonic() + _LEAVE_WITHIN
            for mapping in self._mappings.values():
                mapping.join(max(0.0, deadline - time.monotonic()))
        self._functions = {}
        if self._spawner is not None:
            self._spawner.close()
        self._ended = True

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

    def _made(self, configs: Iterable[FunctionConfig]) -> dict[str, Function]:
        assert self._python is not None  # noqa: S101 - both are there once it is started
        assert self._spawner is not None  # noqa: S101
        made: dict[str, Function] = {}
        try:
            for config in configs:
                made[config.name] = Function(
                    config,
                    python=self._python,
                    spawner=self._spawner,
                    home=self._home,
                    environment=self._environment,
                    listener=self._listener(config.name),
                    freeze=self._freeze,
                )
        except BaseException:
            for function in made.values():
                function.close()
            raise
        return made

    def _running(self, mapping: MappingConfig, function: Function, previous: RunningMapping | None) -> RunningMapping:
        return RunningMapping(
            mapping,
            function,
            self._opener(mapping),
            tell=self._tell,
            faults=self._faults,
            destinations=self._destinations,
            most_pollers=self._most_pollers,
            previous=previous,
        )

    def _retire(self, mappings: list[RunningMapping], functions: list[Function]) -> None:
        """Close functions when the mappings that were taken away have finished what they are at."""
        self._retiring = [thread for thread in self._retiring if thread.is_alive()]
        if not mappings and not functions:
            return

        def retire() -> None:
            longest = max((each.config.timeout for each in functions), default=0)
            deadline = time.monotonic() + longest + 2 * INIT_LIMIT
            for mapping in mappings:
                mapping.join(max(0.0, deadline - time.monotonic()))
            for function in functions:
                function.close()

        thread = threading.Thread(target=retire, name="lambda-retire", daemon=True)
        self._retiring.append(thread)
        thread.start()

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
