"""The contract between the services: what an event is, how it is written, read, named and decided.

A service's core may import this package, `shopstream.errors` and the standard library, and nothing else.
"""

from shopstream.events.chance import choose, draw
from shopstream.events.codec import MAX_EVENT_BYTES, EventReader, encode
from shopstream.events.identity import event_id, order_id, split_order_id, valid_run_id
from shopstream.events.model import (
    EVENT_TYPES,
    SCHEMA_VERSION,
    Address,
    CancelReason,
    Customer,
    CustomerNotified,
    Event,
    Line,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
    derive,
    total_of,
)

__all__ = [
    "EVENT_TYPES",
    "MAX_EVENT_BYTES",
    "SCHEMA_VERSION",
    "Address",
    "CancelReason",
    "Customer",
    "CustomerNotified",
    "Event",
    "EventReader",
    "Line",
    "OrderCancelled",
    "OrderPlaced",
    "OrderShipped",
    "PaymentApproved",
    "PaymentDeclined",
    "PaymentRefunded",
    "StockRejected",
    "StockReleased",
    "StockReserved",
    "choose",
    "derive",
    "draw",
    "encode",
    "event_id",
    "order_id",
    "split_order_id",
    "total_of",
    "valid_run_id",
]
