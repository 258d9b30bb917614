"""What becomes of a batch: invoked, retried, split, reported in part, given up. Decides; others do.

The rules are those of "Configuring error handling controls for Kafka event sources" in AWS's developer guide. In
on-demand mode the whole batch is retried until it succeeds or its records expire at the brokers, and the poller goes
no further meanwhile. In provisioned mode there are limits, halves and partial answers. Splitting a batch in halves does
not count as a retry (the guide says so of streams).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from shopstream.lambdas.payload import LARGEST, Partition, Record, encode, split

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from shopstream.lambdas.bookkeeping import Fault, FaultDraw, Tally
    from shopstream.lambdas.model import MappingConfig
    from shopstream.lambdas.results import Invocation

Condition = Literal["RetryAttemptsExhausted", "MaximumPayloadSizeExceeded", "RecordAgeExceeded", "RecordsExpired"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between retries: doubled each time. AWS does not publish its own."""
_LOOK_FOR_EXPIRED = 30.0  # seconds


class Discarded(NamedTuple):
    """Records that were given up.

    Attributes:
        records: They.
        condition: Why. The first two are AWS's words.
        payload: What the function was given, or would have been.
        invocations: How often.
        last: The last of these invocations, if there was one.
    """

    records: Sequence[Record]
    condition: Condition
    payload: bytes
    invocations: int
    last: Invocation | None


class Surroundings(Protocol):
    """What a delivery needs of its poller."""

    def invoke(self, payload: bytes) -> Invocation:
        """Run the function.

        Raises:
            Abandoned: The poller is to drop the batch.
        """
        ...

    def pause(self, seconds: float) -> bool:
        """Wait; False when the poller is to stop, which may be earlier."""
        ...

    def holds(self, record: Record) -> bool:
        """Whether its partition still belongs to the poller since the record was read."""
        ...

    def earliest(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The first offset that the brokers still have, as far as they answer."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit where the group goes on."""
        ...

    def discard(self, discarded: Discarded) -> None:
        """Tell about records that were given up."""
        ...

    def kill(self, environment: int) -> None:
        """End an environment."""
        ...

    def now(self) -> float:
        """Seconds since 1970."""
        ...


class Abandoned(Exception):  # noqa: N818 - no error: a wish
    """The poller drops its batch: what is not committed will be delivered again."""


@dataclass
class _Work:
    """Records that are invoked together."""

    records: list[Record]
    invocations: int = 0
    failures: int = 0  # that count against the retries
    pauses: int = 0
    again: bool = False  # delivered once more by a fault
    fault: Fault | None = None
    last: Invocation | None = None


class Delivery:
    """Brings batches to a function.

    Args:
        mapping: The rules.
        around: What does what is decided here.
        tally: Where it is counted.
        draw: Which batches meet with a fault.
        largest: Bytes that a payload may have.
    """

    def __init__(
        self, mapping: MappingConfig, around: Surroundings, tally: Tally, draw: FaultDraw, *, largest: int = LARGEST
    ) -> None:
        self._mapping = mapping
        self._servers = ",".join(mapping.bootstrap_servers)
        self._around = around
        self._tally = tally
        self._draw = draw
        self._largest = largest
        self._looked = 0.0

    def deliver(self, batch: Sequence[Record]) -> bool:
        """Work through a batch, and commit what is done.

        Returns:
            False when the poller was told to stop before the batch was done: the rest will be delivered again.

        Raises:
            Abandoned: The poller drops the batch.
        """
        batch = [record for record in batch if self._around.holds(record)]
        unfinished = {(record.partition, record.offset) for record in batch}
        ends = {record.partition: record.offset + 1 for record in batch}
        queue = deque(_Work(piece) for piece in split(batch, self._servers, self._largest))
        self._looked = self._around.now()
        while queue:
            work = queue.popleft()
            rest = self._attempt(work)
            if rest is None:
                return False
            remaining = {(record.partition, record.offset) for each in rest for record in each.records}
            done = [record for record in work.records if (record.partition, record.offset) not in remaining]
            unfinished -= {(record.partition, record.offset) for record in done}
            # What left the poller meanwhile is another's: its offsets are not ours to commit, even if it came back.
            if partitions := {record.partition for record in done if self._around.holds(record)}:
                self._commit(partitions, unfinished, ends)
            queue.extendleft(reversed(rest))
        return True

    def _commit(
        self,
        partitions: set[Partition],
        unfinished: set[tuple[Partition, int]],
        ends: dict[Partition, int],
    ) -> None:
        """Up to the first record that is not finished, in each partition that came further."""
        offsets: dict[Partition, int] = {}
        for partition in partitions:
            left = [offset for other, offset in unfinished if other == partition]
            offsets[partition] = min(left, default=ends[partition])
        self._around.commit(offsets)

    def _attempt(self, work: _Work) -> list[_Work] | None:
        """One invocation. What of the work is still to be done comes back; None when the poller is to stop."""
        records = self._worthwhile(work)
        if not records:
            return []
        payload = encode(records, self._servers)
        if len(payload) > self._largest:
            self._give_up(records, "MaximumPayloadSizeExceeded", payload, work)
            return []
        if work.invocations == 0 and not work.again:
            work.fault = self._draw()
        invocation = self._around.invoke(payload)
        if invocation.throttled:
            self._tally.add(throttled=1)
            return self._retry(work, [records])
        work.invocations, work.last = work.invocations + 1, invocation
        self._tally.add(invocations=1, retries=int(work.invocations > 1))
        failed = self._failed(records, invocation)
        if work.fault == "fail":
            work.fault, failed = None, records  # it ran, and nobody heard its answer
        if not failed:
            return self._succeeded(work, records, invocation)
        self._tally.add(failures=1)
        self._tally.last_result = "PROBLEM: Function call failed"
        if len(failed) < len(records):
            self._tally.add(delivered=len(records) - len(failed))
        elif self._mapping.bisect_batch_on_function_error and len(records) > 1:
            middle = len(records) // 2
            return self._retry(work, [records[:middle], records[middle:]])
        work.failures += 1
        most = self._mapping.most_retries
        if most is not None and work.failures > most:
            self._give_up(failed, "RetryAttemptsExhausted", encode(failed, self._servers), work)
            return []
        return self._retry(work, [failed])

    def _succeeded(self, work: _Work, records: list[Record], invocation: Invocation) -> list[_Work]:
        self._tally.add(batches=1, delivered=len(records), redelivered=len(records) if work.again else 0)
        self._tally.last_result = "OK"
        if work.fault is None:
            return []
        if work.fault == "crash":
            self._around.kill(invocation.environment)
        return [_Work(records, again=True)]

    def _retry(self, work: _Work, pieces: list[list[Record]]) -> list[_Work] | None:
        if not self._around.pause(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(work.pauses, 16))):
            return None
        return [
            _Work(piece, work.invocations, work.failures, work.pauses + 1, work.again, work.fault, work.last)
            for piece in pieces
        ]

    def _failed(self, records: list[Record], invocation: Invocation) -> list[Record]:
        if invocation.error is not None:
            return records
        if not self._mapping.report_batch_item_failures:
            return records[:0]
        places = reported_failures(invocation.payload)
        known = {(str(record.partition), record.offset) for record in records}
        if places is None or not places <= known:
            return records
        return [record for record in records if (str(record.partition), record.offset) in places]

    def _worthwhile(self, work: _Work) -> list[Record]:
        """Without what other pollers have now, and without what is too old or gone at the brokers."""
        records = [record for record in work.records if self._around.holds(record)]
        now = self._around.now()
        if (age := self._mapping.maximum_record_age) >= 0:
            limit = (now - age) * 1000
            if old := [record for record in records if record.timestamp < limit]:
                self._give_up(old, "RecordAgeExceeded", encode(old, self._servers), work)
                records = [record for record in records if record.timestamp >= limit]
        if records and work.pauses and now - self._looked > _LOOK_FOR_EXPIRED:
            self._looked = now
            first = self._around.earliest({record.partition for record in records})
            if gone := [record for record in records if record.offset < first.get(record.partition, 0)]:
                self._give_up(gone, "RecordsExpired", encode(gone, self._servers), work)
                records = [record for record in records if record.offset >= first.get(record.partition, 0)]
        return records

    def _give_up(self, records: list[Record], condition: Condition, payload: bytes, work: _Work) -> None:
        self._tally.add(discarded=len(records))
        self._around.discard(Discarded(records, condition, payload, work.invocations, work.last))


def reported_failures(answer: bytes) -> set[tuple[str, int]] | None:
    """The partitions and offsets that a partial answer names; None when it is no such answer, so that all failed.

    An empty or null answer, or an empty list, says that nothing failed ("PartialBatchResponse").
    """
    try:
        decoded = msgspec.json.decode(answer) if answer.strip() else None
    except msgspec.DecodeError:
        return None
    if decoded is None:
        return set()
    if not isinstance(decoded, dict):
        return None
    items = decoded.get("batchItemFailures")
    if items is None:
        return set()
    try:
        named = [item["itemIdentifier"] for item in items]
        return {(str(each["partition"]), int(each["offset"])) for each in named}
    except (TypeError, KeyError, ValueError):
        return None
