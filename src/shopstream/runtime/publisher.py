"""Where a Lambda function writes its messages: it gets them acknowledged, or learns which of them are not.

At least once: AWS delivers a batch again whose function did not succeed, and everything is then written again, byte by
byte the same. The producer is idempotent, so its own repetitions write nothing twice.

A function's environment is frozen between two invocations. So nothing stays in a queue when `publish` returns: what is
not acknowledged by then is taken back (what is on its way already may still arrive, which makes a duplicate). And a
producer with which anything went wrong is thrown away, because a warm environment would meet the same error again and
again; the next invocation makes a new one.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from shopstream.runtime.kafka_output import KafkaOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shopstream.records import Headers
    from shopstream.runtime.kafka_output import MakeProducer
    from shopstream.settings import ClientSettings
    from shopstream.topology import Service

# Errors after which the password or the certificate authority may be out of date.
_REFUSED = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - their public names
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
# librdkafka goes on trying after a refusal: another broker may know the password already. Not for long, though: with
# new secrets the next invocation gets through at once.
_AFTER_REFUSAL = 2.0  # seconds
# An idempotent producer asks for its id as soon as it is made, meets no connection yet, and asks again half a second
# later, unless there has been contact with the brokers before the first message. Asking twice for a topic takes 0.1 s
# and makes sure of that; after one answer the connection that the id needs is not always there.
_FIRST_CONTACT = 1.0  # seconds at most for each
_LOOK = 0.1  # seconds between two looks at whether the brokers refuse us
_TAKE_BACK = 1.0  # seconds


class Message(NamedTuple):
    """A record to be written. Its key chooses the partition."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Publisher(Protocol):
    """The port. Behind it stand `KafkaPublisher` and `memory.MemoryPublisher`."""

    def open(self) -> None:
        """Connect, if there is no connection. Brokers that do not answer are `publish`'s business.

        Raises:
            ShopstreamError: There is nothing to connect with.
        """

    def publish(self, messages: Sequence[Message], within: float) -> Mapping[int, str]:
        """Write messages and wait, at most `within` seconds, until all are acknowledged.

        Returns:
            For each message that is not, its place in `messages` and why. Nothing of it is under way any more.

        Raises:
            ShopstreamError: There is nothing to connect with.
        """


class KafkaPublisher:
    """Writes to Kafka, with a producer that lives as long as nothing goes wrong with it.

    Args:
        service: Whose output it is.
        access: How to connect, as the service's user.
        forget: Called when the brokers refuse what `access` gave: it shall fetch anew next time.
        make_producer: Makes the librdkafka producer from its configuration.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        service: Service,
        access: Callable[[], ClientSettings],
        forget: Callable[[], None],
        make_producer: MakeProducer = Producer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._access, self._forget = access, forget
        self._make_producer = make_producer
        self._clock = clock
        self._output: _Acknowledged | None = None

    def open(self) -> None:
        """Make a producer if there is none."""
        self._opened()

    def _opened(self) -> _Acknowledged:
        if self._output is None:
            name = f"{self._service.name}-lambda"
            self._output = _Acknowledged(self._access(), self._service, name, self._make_producer)
        return self._output

    def publish(self, messages: Sequence[Message], within: float) -> Mapping[int, str]:
        """Write messages and wait for the brokers."""
        output = self._opened()
        failed = output.deliver(messages, within, self._clock)
        if failed:
            self._output = None
            output.close()
            if output.refused:
                self._forget()
        return failed


class _Acknowledged(KafkaOutput):
    """One producer's life."""

    refused = False

    def _connect(self) -> Producer:
        producer = super()._connect()
        with suppress(KafkaException):
            for _ in range(2):
                producer.list_topics(self._service.writes[0], _FIRST_CONTACT)
        return producer

    def _on_error(self, error: KafkaError) -> None:
        # librdkafka's own log says what it is; once is enough where log lines are paid for.
        self.refused = self.refused or error.code() in _REFUSED

    def deliver(self, messages: Sequence[Message], within: float, clock: Callable[[], float]) -> dict[int, str]:
        self.refused = False  # what is over is over: the last batch got through
        deadline = clock() + within
        failed: dict[int, str] = {}

        def report(place: int, error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed[place] = f"{messages[place].topic}: {error.str()} ({error.name()})"

        for place, message in enumerate(messages):
            try:
                self._producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    headers=list(message.headers),
                    on_delivery=partial(report, place),
                )
            except (BufferError, KafkaException) as error:
                failed[place] = f"{message.topic}: {error}"
        left = self._wait(deadline, clock)
        if left:
            why = f"not acknowledged within {within:.1f} s"
            if self.refused:
                why = "the brokers refuse this user, or are not who the certificate authority vouches for"
            with suppress(KafkaException):
                self._producer.purge()
                left = self._producer.flush(_TAKE_BACK)
            purged = [place for place, text in failed.items() if "_PURGE_" in text]
            # A message that even purging does not bring back may be any of those that nothing is known of.
            unknown = [place for place in range(len(messages)) if place not in failed] if left else []
            failed.update(dict.fromkeys((*purged, *unknown), why))
        return failed

    def _wait(self, deadline: float, clock: Callable[[], float]) -> int:
        """Flush until the deadline, or until it is clear that the brokers refuse us. Returns how many are left."""
        while True:
            left = self._producer.flush(max(0.0, min(_LOOK, deadline - clock())))
            if not left or clock() >= deadline:
                return left
            if self.refused:
                deadline = min(deadline, clock() + _AFTER_REFUSAL)
