"""The worker's output on a real Kafka: one transaction for a batch, or, as a switch, at least once without any."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from shopstream.errors import Abortable, Fatal, Fenced, StreamError, Uncertain
from shopstream.runtime.kafka_errors import translate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from shopstream.runtime.transport import Batch, Partition
    from shopstream.settings import ClientSettings
    from shopstream.topology import Service

    MakeProducer = Callable[..., Producer]

    class CommitsOffsets(Protocol):
        """What commits offsets outside a transaction: the input."""

        def commit(self, offsets: dict[Partition, int]) -> None:
            """Commit and wait."""


log = logging.getLogger(__name__)

# A crashed worker's open transaction holds up every reader behind it until this runs out or its successor ends it.
TRANSACTION_TIMEOUT = 15.0  # seconds
_STEP_TIMEOUT = 10.0  # seconds, for one step of a transaction
_GRACE = 3.0  # seconds that a step may take beyond its timeout
# Kafka 4's second half of KIP-890 would make a late EndTxn harmless, but librdkafka does not speak it yet (#5423): one
# that was retried can end the next transaction. So a producer that may have retried is replaced, which fences it.
_SLOW = 1.0  # seconds

_PRODUCER: dict[str, str | int | float | bool] = {
    "enable.idempotence": True,
    "acks": "all",
    # The same placement as Java's producers, so that both sides of a join meet.
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": 1,
    # The default of 100 ms is what each AddPartitionsToTxn waits that meets a transaction still being completed.
    "retry.backoff.ms": 5,
    "retry.backoff.max.ms": 200,
    "queue.buffering.max.messages": 1_000_000,
    "message.max.bytes": 4_194_304,
    "delivery.report.only.error": True,
    # A worker's own timeouts are shorter than the transaction's: whoever is late finds it still open, or fenced.
    "socket.timeout.ms": 10_000,
}


class KafkaOutput:
    """What all guarantees share: a producer, and putting a batch into its queue."""

    def __init__(
        self, settings: ClientSettings, service: Service, client_id: str, make_producer: MakeProducer = Producer
    ) -> None:
        self._make_producer = make_producer
        self._service = service
        self._log_topic = service.state or service.progress
        self._config = {**settings.to_librdkafka(), **_PRODUCER, "client.id": client_id}
        self._disturbed = self._suspect = self._stuck = False
        self._delivery_failure: KafkaError | None = None
        self._producer = self._connect()

    def close(self) -> None:
        """Let go of the connection. An open transaction is left to its time-out or its successor."""
        if not self._stuck:
            self._producer.purge()

    def _connect(self) -> Producer:
        return self._make_producer({**self._config, "error_cb": self._on_error}, logger=log)

    def _on_error(self, error: KafkaError) -> None:
        # Brokers come and go; librdkafka reconnects. But a request of the transaction at hand may be sent twice.
        self._disturbed = True
        log.warning("producer: %s", error)

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self._delivery_failure = error

    def _send(self, topic: str, messages: list[dict[str, Any]]) -> None:
        """Queue messages for one topic.

        Raises:
            Abortable: Not all of them were taken.
        """
        taken = self._producer.produce_batch(topic, messages, on_delivery=self._on_delivery)
        if taken != len(messages):
            # produce_batch tells of a message that it could not take only here, and in the message.
            why = next((message["_error"] for message in messages if "_error" in message), "queue full")
            raise Abortable(f"{topic}: {len(messages) - taken} of {len(messages)} messages were not taken: {why}")

    def _send_events(self, batch: Batch) -> None:
        for topic, events in batch.events.items():
            self._send(topic, [{"key": key, "value": value} for key, value in events])
        for letter in batch.dead_letters:
            self._producer.produce(
                str(self._service.dead_letters),
                letter.value,
                letter.key,
                headers=list(letter.headers),
                on_delivery=self._on_delivery,
            )

    def _send_state(self, batch: Batch) -> None:
        if batch.state:
            changes = [{"key": c.key, "value": c.value, "partition": c.partition} for c in batch.state]
            self._send(str(self._log_topic), changes)


class TransactionalOutput(KafkaOutput):
    """Exactly once: outputs, state and input offsets in one Kafka transaction.

    Args:
        settings: How to connect, as the service's user.
        service: Whose output it is.
        instance: Which instance (0, 1, …); it names the transactional id.
        make_producer: Makes the librdkafka producer from its configuration.
    """

    def __init__(
        self, settings: ClientSettings, service: Service, instance: int, make_producer: MakeProducer = Producer
    ) -> None:
        self._transactional_id = service.transactional_id(instance)
        super().__init__(settings, service, self._transactional_id, make_producer)

    def write(self, batch: Batch, group: Any = None) -> None:
        """One transaction."""
        if self._suspect:
            self.renew()
        self._producer.poll(0)
        self._disturbed = False
        self._suspect = True  # until the transaction has ended well, undisturbed and quickly
        started = time.monotonic()
        try:
            self._transaction(batch, group)
        except BufferError as error:
            self._abort(Abortable(f"{self._transactional_id}: {error}"))
        except StreamError as error:
            self._abort(error)
        except KafkaException as error:
            self._abort(translate(error.args[0], f"{self._transactional_id}: transaction"))
        self._producer.poll(0)  # delivers what the commit itself met
        self._suspect = self._disturbed or time.monotonic() - started > _SLOW

    def renew(self) -> None:
        """A new producer with the same id: its initialization ends whatever the old one left open, and fences it.

        Raises:
            Fatal: The brokers refuse it, or gave no answer in time.
        """
        self._producer.purge()
        self._producer = self._connect()

    def _connect(self) -> Producer:
        producer = self._make_producer(
            {
                **self._config,
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT * 1000),
                "error_cb": self._on_error,
            },
            logger=log,
        )
        deadline = time.monotonic() + 3 * _STEP_TIMEOUT
        while True:
            try:
                producer.init_transactions(_STEP_TIMEOUT)
            except KafkaException as error:
                cause = error.args[0]
                if not cause.retriable() or time.monotonic() > deadline:
                    raise Fatal(f"{self._transactional_id}: initialization: {cause.str()} ({cause.name()})") from error
                log.warning("%s: initialization: %s", self._transactional_id, cause)
            else:
                self._suspect = False
                return producer

    def _transaction(self, batch: Batch, group: Any) -> None:
        producer = self._producer
        producer.begin_transaction()
        self._send_events(batch)
        self._send_state(batch)
        if batch.offsets:
            places = [TopicPartition(p.topic, p.number, offset) for p, offset in batch.offsets.items()]
            self._in_time(lambda: producer.send_offsets_to_transaction(places, group, _STEP_TIMEOUT))
        producer.commit_transaction(_STEP_TIMEOUT)

    def _in_time(self, step: Callable[[], None]) -> None:
        """Carry out a step that may outlive its own timeout.

        After a broker's death `send_offsets_to_transaction` may never return (librdkafka #5456), and nothing ends such
        a call but the end of its process.

        Raises:
            Fatal: It did not return.
            KafkaException: It failed.
        """
        outcome: list[BaseException | None] = []

        def carry_out() -> None:
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - raised again, in the thread that waits for it
                outcome.append(error)
            else:
                outcome.append(None)

        thread = threading.Thread(target=carry_out, daemon=True)
        thread.start()
        thread.join(_STEP_TIMEOUT + _GRACE)
        if not outcome:
            self._stuck = True
            raise Fatal(f"{self._transactional_id}: librdkafka does not return from sending offsets: a new process may")
        if outcome[0] is not None:
            raise outcome[0]

    def _abort(self, error: StreamError) -> None:
        """End the transaction that failed, and raise what that leaves.

        Raises:
            StreamError: `error`, or `Uncertain` if it cannot be ended cleanly.
        """
        if not isinstance(error, Abortable):
            raise error
        try:
            self._producer.abort_transaction(_STEP_TIMEOUT)
        except KafkaException as failure:
            raised = translate(failure.args[0], f"{self._transactional_id}: abort")
            raise raised if isinstance(raised, Fenced) else Uncertain(str(raised)) from failure
        raise error


class AtLeastOnceOutput(KafkaOutput):
    """At least once: the outputs are acknowledged before the offsets are committed. A crash in between repeats them.

    Args:
        settings: How to connect, as the service's user.
        service: Whose output it is.
        instance: Which instance (0, 1, …).
        offsets: What commits the offsets; None for a source of events.
        make_producer: Makes the librdkafka producer from its configuration.
    """

    def __init__(
        self,
        settings: ClientSettings,
        service: Service,
        instance: int,
        offsets: CommitsOffsets | None,
        make_producer: MakeProducer = Producer,
    ) -> None:
        super().__init__(settings, service, service.transactional_id(instance), make_producer)
        self._offsets = offsets

    def write(self, batch: Batch, group: Any = None) -> None:  # noqa: ARG002 - there is no transaction to prove it to
        """Outputs first, then the state, then the offsets, each acknowledged before the next.

        The order matters: were an order's state deleted before its outcome is safe, a crash would lose the outcome.

        Raises:
            Uncertain: Some of it may have been written.
        """
        try:
            self._send_events(batch)
            self._flush()
            self._send_state(batch)
            self._flush()
            if batch.offsets and self._offsets is not None:
                self._offsets.commit(batch.offsets)
        except (Abortable, BufferError) as error:
            raise Uncertain(str(error)) from error
        except KafkaException as error:
            raise Uncertain(f"{self._service.name}: {error.args[0].str()}") from error

    def renew(self) -> None:
        """A new producer; what the old one still held is dropped, and will be written again."""
        self._producer.purge()
        self._producer = self._connect()
        self._delivery_failure = None

    def _flush(self) -> None:
        left = self._producer.flush(_STEP_TIMEOUT)
        if left or self._delivery_failure is not None:
            raise Uncertain(f"{self._service.name}: {left} messages are not acknowledged: {self._delivery_failure}")


def output_for(
    guarantee: str,
    settings: ClientSettings,
    service: Service,
    instance: int,
    offsets: CommitsOffsets | None = None,
) -> TransactionalOutput | AtLeastOnceOutput:
    """The output that keeps a guarantee: `exactly-once` or `at-least-once`."""
    if guarantee == "exactly-once":
        return TransactionalOutput(settings, service, instance)
    return AtLeastOnceOutput(settings, service, instance, offsets)
