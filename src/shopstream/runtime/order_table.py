"""The join of a service that runs as a Lambda function: its state is a table that all invocations share.

Of each order the table has one item, with one attribute for each topic that the service joins: the first event of the
join that came from there. A record is handled in this sequence:

1. **Record.** One atomic update stores the event, unless the item has one from that topic already, and returns the item
   as it is then. There is no reading before writing, so no invocation can decide on what another has just changed.
2. **Derive.** If the item has the event of every topic, the core's own join makes the outcome from the *stored* events.
   Who brought the last half makes it, and so does everybody who brings one of them again.
3. **Produce**, and wait for the brokers' acknowledgement.
4. **Succeed**: only then does the event source mapping go on.

Why no crash loses or contradicts anything:

- Before 1, between any two steps, or when the success does not reach AWS: the record is delivered again, and all steps
  are taken again. Storing again changes nothing, and the outcome is derived from the same stored bytes: a duplicate of
  the same event_id, byte by byte the same.
- Of the two halves of an order, brought by two invocations at once, the second update in the table's own order sees
  both. That invocation produces the outcome before it succeeds, so the outcome cannot be lost with any crash.
- Once an item has an event from a topic, it never has another from there. So everybody derives from the same
  events, whatever arrives later: a second decision on the same side of an order (which only a fault upstream can
  make) is put on the dead-letter topic as `contradiction`, and changes nothing.

An event that the join does not wait for touches no table. Items expire `KEEP` after their last record (DynamoDB's "time
to live"), long after retention has deleted the last record that could bring a half again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from shopstream.errors import BadRecord, Retriable
from shopstream.events import EventReader, encode
from shopstream.runtime.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shopstream.events import Event
    from shopstream.records import Record
    from shopstream.runtime.processor import Join
    from shopstream.topology import Service, Topology

KEEP = 30 * 86_400
"""How long an item lives after its last record, in seconds. The topics keep their records for a week."""

ITEM_LIMIT = 400 * 1024
"""The largest item that DynamoDB takes, in bytes, the attributes' names included ("Quotas in Amazon DynamoDB")."""

_FOR_NAMES = 4096  # bytes of an item that are kept for the key, the attributes' names and the time to live


class OrderTable(Protocol):
    """The port. Behind it stand `dynamodb.DynamoOrderTable` and `MemoryOrderTable`. May be called from many threads."""

    def record(self, order_id: str, topic: str, event: bytes, expires_at: int) -> Mapping[str, bytes]:
        """Store an order's event from a topic if there is none yet, and keep the item until `expires_at` at least.

        Args:
            order_id: The order.
            topic: The attribute.
            event: The event, as UTF-8.
            expires_at: Seconds since 1970.

        Returns:
            The item as it is then: the stored event of each topic.

        Raises:
            Retriable: Nobody knows whether it is stored.
        """


class MemoryOrderTable:
    """The port in memory, with DynamoDB's limit on an item."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.expires_at: dict[str, int] = {}

    def record(self, order_id: str, topic: str, event: bytes, expires_at: int) -> Mapping[str, bytes]:
        """One atomic step, as all in this class."""
        after = {topic: event, **self.items[order_id]}
        size = sum(len(name) + len(value) for name, value in after.items())
        if size + len("order_id" + order_id + "expires_at") > ITEM_LIMIT:
            raise Retriable(f"order {order_id}: the item would have more than {ITEM_LIMIT} bytes")
        self.items[order_id] = after
        self.expires_at[order_id] = expires_at
        return dict(after)


class TableJoinProcessor(Processor):
    """A service that waits for both halves of an order, with its state in an `OrderTable`.

    It keeps nothing between two records, so it may process records of different orders at the same time.

    Args:
        topology: The shop's topics.
        service: The service.
        join: Its core: one step from what waits and what arrives to what waits then and what follows.
        table: The state.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        topology: Topology,
        service: Service,
        join: Join,
        table: OrderTable,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(topology, service)
        self._join = join
        self._table = table
        self._now = now
        self._read_stored = {topic: EventReader(topology.topics[topic].events).read for topic in service.consumes}
        # DynamoDB's limit is one for the whole item, so each half gets its share. An event that can be read has 170 kB
        # at the very most, so this refuses nothing; it is there lest a wider event block its partition for good.
        self.most_bytes = (ITEM_LIMIT - _FOR_NAMES) // len(service.consumes)

    def _decide(self, record: Record, event: Event) -> tuple[Event, ...]:
        waits, follows = self._join(None, event)
        if waits is None:
            return follows
        text = encode(event)
        if len(text) > self.most_bytes:
            raise BadRecord("too_large", f"{len(text)} bytes; a half that waits has at most {self.most_bytes}")
        order = event.order_id
        stored = self._table.record(order, record.topic, text, int(self._now()) + KEEP)
        halves = self._halves(order, stored)
        if (first := halves[record.topic]) != event:
            raise BadRecord("contradiction", f"{event.event_type} came after {first.event_type}, and the first counts")
        if len(halves) < len(self.service.consumes):
            return ()
        return self._outcome([halves[topic] for topic in self.service.consumes])

    def _halves(self, order: str, stored: Mapping[str, bytes]) -> dict[str, Event]:
        try:
            return {t: read(order.encode(), stored[t]) for t, read in self._read_stored.items() if t in stored}
        except BadRecord as error:
            raise Retriable(f"order {order}: what the table holds of it is no event of the join: {error}") from error

    def _outcome(self, halves: list[Event]) -> tuple[Event, ...]:
        waiting: Event | None = None
        follows: tuple[Event, ...] = ()
        for half in halves:
            waiting, outcomes = self._join(waiting, half)
            follows += outcomes
        return follows
