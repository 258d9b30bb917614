"""Tries credentials, and waits until they work: Kafka may refuse a user for a moment after it has been created."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from shopstream.settings import ClientSettings

_SLICE_S = 0.5


class Logins:
    """Logs users in, all at the same time. Leaving the `with` block gives up those that are still trying.

    Args:
        deadline: Until when to try, on the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._given_up = Event()
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._first: dict[str, Future[float]] = {}
        self._others: list[Future[float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._given_up.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, settings: Iterable[ClientSettings]) -> None:
        """Begin to log these users in, each at whichever broker answers."""
        for one in settings:
            self._first[one.username or ""] = self._pool.submit(self._log_in, one)

    def start_everywhere(self, settings: Iterable[ClientSettings]) -> None:
        """Begin to log these users in at every broker: each learns of a new password in its own time."""
        for one in settings:
            for address in one.bootstrap_servers.split(","):
                attempt = self._pool.submit(self._log_in, replace(one, bootstrap_servers=address))
                self._others.append(attempt)
                self._first.setdefault(one.username or "", attempt)

    def wait(self) -> dict[str, float]:
        """Wait until all have succeeded.

        Returns:
            When each user's credential worked, on the monotonic clock.

        Raises:
            ClusterError: One was refused until the deadline; with what was seen last.
        """
        for attempt in self._others:
            attempt.result()
        return {user: attempt.result() for user, attempt in self._first.items()}

    def _log_in(self, settings: ClientSettings) -> float:
        attempt = _Attempt(settings)
        while not attempt.succeeds():
            if self._given_up.is_set() or time.monotonic() > self._deadline:
                raise attempt.failure()
        return time.monotonic()


def refused(settings: Iterable[ClientSettings], deadline: float) -> frozenset[str]:
    """The users whose password the cluster does not take. All are tried at the same time.

    Args:
        settings: How each connects.
        deadline: Until when to try, on the monotonic clock.

    Raises:
        ClusterError: Nobody answered until the deadline.
    """
    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = {one.username or "": pool.submit(_is_refused, one, deadline) for one in settings}
        return frozenset(user for user, answer in answers.items() if answer.result())


def _is_refused(settings: ClientSettings, deadline: float) -> bool:
    attempt = _Attempt(settings)
    while not attempt.succeeds():
        if attempt.refused:
            return True
        if time.monotonic() > deadline:
            raise attempt.failure()
    return False


class _Attempt:
    """A client that tries to log in until it succeeds."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._seen: list[KafkaError] = []
        config: dict[str, Any] = {
            **settings.to_librdkafka(),
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "log_level": 0,
            "error_cb": self._seen.append,
        }
        self._client = AdminClient(config)
        self._last = ""

    @property
    def refused(self) -> bool:
        """Whether the cluster has answered, and does not take the password."""
        return any(error.code() == KafkaError._AUTHENTICATION for error in self._seen)  # noqa: SLF001 - its public name

    def succeeds(self) -> bool:
        """Ask for something that needs a login, and wait for a moment."""
        try:
            self._client.list_topics(timeout=_SLICE_S)
        except KafkaException as error:
            self._client.poll(0)  # hands the errors of the connection to error_cb
            self._last = (self._seen[-1] if self._seen else error.args[0]).str()
            return False
        return True

    def failure(self) -> ClusterError:
        """What to raise when there is no more time."""
        return ClusterError(
            f"user {self._settings.username} cannot log in at {self._settings.bootstrap_servers}; "
            f"seen last: {self._last}"
        )
