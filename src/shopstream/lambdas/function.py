"""A function with its pool of execution environments."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from shopstream.lambdas import leftovers, processes
from shopstream.lambdas.code import sweep, task_root
from shopstream.lambdas.environment import INIT_LIMIT, Environment, InitFailed
from shopstream.lambdas.logs import FunctionLog
from shopstream.lambdas.results import Invocation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from shopstream.lambdas.model import FunctionConfig
    from shopstream.lambdas.spawner import Spawner

ACCOUNT_CONCURRENCY = 1000
IDLE = 600.0
"""Seconds until an unused environment is ended. AWS does not say when it does."""


class Function:
    """Runs a function, in as many environments as invocations overlap.

    Args:
        config: The function.
        python: The interpreter that has the runtime client.
        spawner: Starts the processes.
        home: Where unpacked code and logs are kept.
        environment: Variables that every environment gets beside Lambda's and the function's own.
        listener: Called with each line of its log.
        freeze: Whether environments stand still between invocations.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        config: FunctionConfig,
        *,
        python: Path,
        spawner: Spawner,
        home: Path,
        environment: Mapping[str, str],
        listener: Callable[[str], None] | None = None,
        freeze: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._cache = home / "code"
        self._root = task_root(config.code, self._cache)
        self._scratch = home / "tmp"
        self._scratch.mkdir(parents=True, exist_ok=True)
        # With the processes that a host left when it was killed: the functions' own end with it, not what they started.
        leftovers.sweep(self._scratch, "", before=processes.kill_users)
        sweep(self._cache)
        self._python = python
        self._spawner = spawner
        self._environment = environment
        self._freeze = freeze
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[Environment, float]] = []  # the warmest last
        self._busy = 0
        self._in_use: set[Environment] = set()
        self._outdated: set[Environment] = set()  # of those: made before the last update
        self._updates = 0
        self._closed = False
        self.log = FunctionLog(home / "logs" / f"{config.name}.log", listener)

    def invoke(self, payload: bytes, request_id: str | None = None, trace_id: str | None = None) -> Invocation:
        """Run it once, synchronously. Warm environments come first; a new one is started when none is free.

        Args:
            payload: The event, as JSON.
            request_id: Its id; AWS repeats it when it retries an asynchronous invocation.
            trace_id: The X-Ray trace header.
        """
        request_id = request_id or str(uuid.uuid4())
        if not self._enter():
            text = {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "Rate Exceeded."}
            return Invocation(request_id, msgspec.json.encode(text), "TooManyRequestsException")
        environment: Environment | None = None
        try:
            environment = self._warm() or self._start()
            return environment.invoke(request_id, payload, trace_id or new_trace_id())
        except InitFailed as failed:
            return Invocation(request_id, failed.payload, "Unhandled", cold=True, init_seconds=failed.seconds)
        finally:
            self._leave(environment)

    def update(self, config: FunctionConfig) -> None:
        """Run another version of it from now on. Invocations at hand are finished by the version that began them.

        Args:
            config: The function as it is now, with the same name.

        Raises:
            UsageError: Its package cannot be used; the former version stays.
        """
        root = task_root(config.code, self._cache)
        with self._lock:
            # How many may run at once is no property of an environment.
            same = replace(config, reserved_concurrency=self.config.reserved_concurrency) == self.config
            if same and root == self._root:
                self.config = config
                return
            self.config, self._root = config, root
            self._updates += 1
            self._outdated |= self._in_use
            idle = [environment for environment, _ in self._idle]
            self._idle.clear()
        for environment in idle:
            environment.close()

    def kill(self, pid: int) -> None:
        """End the environment of a process at once, if it is still there."""
        with self._lock:
            found = [each for each in (*self._in_use, *(env for env, _ in self._idle)) if each.pid == pid]
        for environment in found:
            environment.kill()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of its environments."""
        with self._lock:
            return tuple(each.pid for each in (*self._in_use, *(env for env, _ in self._idle)) if each.alive)

    def expire(self, idle: float = IDLE) -> None:
        """End what has not been used for so many seconds."""
        limit = self._clock() - idle
        with self._lock:
            old = [environment for environment, since in self._idle if since < limit]
            self._idle = [(environment, since) for environment, since in self._idle if since >= limit]
        for environment in old:
            environment.close()

    def close(self) -> None:
        """End every environment, the busy ones too, and close the log."""
        with self._lock:
            self._closed = True
            environments = [*self._in_use, *(environment for environment, _ in self._idle)]
            self._idle.clear()
        for environment in environments:
            environment.close()
        self.log.close()

    def _enter(self) -> bool:
        reserved = self.config.reserved_concurrency
        with self._lock:
            if self._closed or self._busy >= (ACCOUNT_CONCURRENCY if reserved is None else reserved):
                return False
            self._busy += 1
            return True

    def _warm(self) -> Environment | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                environment, _ = self._idle.pop()
                self._in_use.add(environment)
            if environment.alive:
                return environment
            with self._lock:
                self._in_use.discard(environment)
            environment.close()  # its process ended while it was idle

    def _start(self) -> Environment:
        """Start an environment. When init takes too long, it gets a second chance within the function's timeout."""
        try:
            updates, environment = self._new(INIT_LIMIT)
        except InitFailed as failed:
            if failed.seconds < INIT_LIMIT:
                raise
            updates, environment = self._new(self.config.timeout)
        with self._lock:
            closed = self._closed
            if not closed:
                self._in_use.add(environment)
                if updates != self._updates:
                    self._outdated.add(environment)
        if closed:
            environment.close()
            raise InitFailed(b'{"errorType":"ServiceException","errorMessage":"the host is stopping"}', 0.0)
        return environment

    def _new(self, limit: float) -> tuple[int, Environment]:
        """An environment of the present version, and how many updates led to that."""
        with self._lock:
            updates, config, root = self._updates, self.config, self._root
        return updates, Environment(
            config,
            root,
            python=self._python,
            spawner=self._spawner,
            log=self.log,
            given=self._environment,
            scratch=self._scratch,
            freeze=self._freeze,
            init_limit=limit,
        )

    def _leave(self, environment: Environment | None) -> None:
        with self._lock:
            self._busy -= 1
            if environment is None:
                return
            self._in_use.discard(environment)
            outdated = environment in self._outdated
            self._outdated.discard(environment)
            if environment.alive and not self._closed and not outdated:
                self._idle.append((environment, self._clock()))
                return
        environment.close()


def new_trace_id() -> str:
    """An X-Ray trace header, as an invocation that nobody traces has it."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
