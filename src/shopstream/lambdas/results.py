"""How invocations and mappings went. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Invocation:
    """How one invocation went.

    Attributes:
        request_id: Its id.
        payload: What the function answered, or the JSON of its error.
        error: None when it succeeded; `Unhandled` when the handler raised or init failed (as AWS's
            `FunctionError` says); `Function.Timeout`, `Runtime.ExitError`, `Function.ResponseSizeTooLarge`;
            `TooManyRequestsException` when it was throttled and did not run.
        cold: Whether an environment had to be started for it.
        seconds: How long the handler took.
        init_seconds: How long the start of the environment took; 0 when it was warm.
        memory_used: The most memory that its process has held so far, in MB.
        environment: The process id of the environment; 0 when there was none.
    """

    request_id: str
    payload: bytes
    error: str | None = None
    cold: bool = False
    seconds: float = 0.0
    init_seconds: float = 0.0
    memory_used: int = 0
    environment: int = 0

    @property
    def throttled(self) -> bool:
        """Whether the function did not run because too many of its invocations did."""
        return self.error == "TooManyRequestsException"


@dataclass(frozen=True)
class MappingCounts:
    """What a mapping has done since it was started.

    Attributes:
        function: The function that it feeds.
        topic: The topic.
        delivered: Records whose batch succeeded, each counted once for each time that it was given to the function.
        batches: Batches that succeeded.
        invocations: All invocations.
        failures: Invocations that failed, made-up faults included.
        retries: Invocations of records that had been in a failed one.
        redelivered: Records that were given again after a success, by a made-up fault.
        discarded: Records that were given up.
        throttled: Invocations that were refused for want of concurrency.
        lag: Records that wait, as far as the pollers know.
        pollers: How many pollers there are.
        state: `Enabled`, `Disabled`, or what AWS would call its state.
        last_result: What AWS's API shows as `LastProcessingResult`.
    """

    function: str
    topic: str
    delivered: int = 0
    batches: int = 0
    invocations: int = 0
    failures: int = 0
    retries: int = 0
    redelivered: int = 0
    discarded: int = 0
    throttled: int = 0
    lag: int = 0
    pollers: int = 0
    state: str = "Enabled"
    last_result: str = "No records processed"
