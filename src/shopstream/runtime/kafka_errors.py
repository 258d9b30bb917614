"""From librdkafka's errors to ours: which of them says what a worker can do about it."""

from __future__ import annotations

from confluent_kafka import KafkaError

from shopstream.errors import Abortable, Fatal, Fenced, StreamError, Uncertain

_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}  # noqa: SLF001
_TIMED_OUT = {KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError.REQUEST_TIMED_OUT}  # noqa: SLF001


def is_fenced(error: KafkaError) -> bool:
    """Whether a newer producer with the same transactional id exists."""
    return error.code() in _FENCED


def translate(error: KafkaError, doing: str) -> StreamError:
    """The error to raise for a failed step of a transaction.

    Args:
        error: What librdkafka said.
        doing: The step, for the message.
    """
    text = f"{doing}: {error.str()} ({error.name()})"
    if is_fenced(error):
        return Fenced(text)
    if error.fatal():
        # A fatal error ends the producer, not the worker: a new producer may find the transaction either way.
        return Uncertain(text)
    if error.txn_requires_abort():
        return Abortable(text)
    if error.retriable() or error.code() in _TIMED_OUT:
        return Uncertain(text)
    return Fatal(text)
