"""The source of orders as a Lambda function: each invocation brings some orders of a run.

The invoking event says which: EventBridge's own (`id`, `time`) or one made by hand (`{"orders": 3}`). Equal events make
equal orders, byte by byte. So when AWS repeats an asynchronous invocation, which it does with the same request id and
the same trace, the orders are duplicates and no new ones.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shopstream.errors import Retriable, UsageError
from shopstream.events import encode, valid_run_id
from shopstream.runtime.function import time_to_publish
from shopstream.runtime.processor import options_of
from shopstream.runtime.publisher import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shopstream.events import Event
    from shopstream.runtime.lambda_settings import LambdaSettings
    from shopstream.runtime.publisher import Publisher
    from shopstream.runtime.telemetry import Invocation, Telemetry
    from shopstream.topology import Service, Topology

MOST_ORDERS = 10_000
"""Orders an invocation: about 10 MB to write, in a few seconds. More than that is several invocations with `first`."""

_TRACE_TIME = re.compile(r"1-([0-9a-f]{8})-")


class OrderRequest(Struct, frozen=True):
    """The keys of an invoking event that are understood; EventBridge sends others beside them.

    Attributes:
        orders: How many orders.
        id: The run. Default: the id of the request.
        time: The shop's clock at order 0, ISO 8601 with a time zone. Default: when AWS X-Ray says the request began.
        first: The number of the first order.
        seed: Chooses customers and baskets.
        shop_rate: Orders a second on the shop's clock.
    """

    orders: Annotated[int, Meta(ge=0, le=MOST_ORDERS)] | None = None
    id: str | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None
    first: Annotated[int, Meta(ge=0)] = 0
    seed: int | None = None
    shop_rate: Annotated[float, Meta(gt=0)] | None = None


class OrderFunction:
    """The service that starts the flow.

    Args:
        topology: The shop's topics.
        service: The service.
        publisher: Where the orders go.
        telemetry: What it tells.
        generate: Its core: makes orders from (first, count) and the run's keywords.
        settings: The function's environment.
    """

    def __init__(
        self,
        topology: Topology,
        service: Service,
        publisher: Publisher,
        telemetry: Telemetry,
        generate: Callable[..., Iterable[Event]],
        settings: LambdaSettings,
    ) -> None:
        self._topic_of = topology.topic_of
        self._service = service
        self._publisher = publisher
        self._telemetry = telemetry
        self._generate = generate
        self._settings = settings

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Bring the orders that the event asks for, and answer which they are.

        Raises:
            UsageError: The event asks for something impossible.
            Retriable: Not all orders are acknowledged: the same invocation again brings them.
        """
        invocation = self._telemetry.begin(context)
        try:
            return self._handle(event, invocation)
        except Exception as error:
            invocation.failed(error)
            raise
        finally:
            invocation.end()

    def _handle(self, event: Any, invocation: Invocation) -> dict[str, Any]:
        request = read_request(event)
        count = self._settings.orders_per_invocation if request.orders is None else request.orders
        if not 0 <= count <= MOST_ORDERS:
            raise UsageError(f"ORDERS_PER_INVOCATION is {count}: use 0 to {MOST_ORDERS}")
        run_id = self._run_id(request, invocation)
        start = (request.time or _began(invocation) or self._now()).astimezone(UTC)
        try:
            orders = self._generate(request.first, count, run_id=run_id, start=start, **self._options(request))
        except (ValueError, OverflowError) as error:
            raise UsageError(f"these orders cannot be made: {error}") from error
        if count:
            self._publisher.open()
        messages = [Message(self._topic_of[o.event_type], o.order_id.encode(), encode(o)) for o in orders]
        missing = self._publisher.publish(messages, time_to_publish(invocation)) if messages else {}
        invocation.written(message for place, message in enumerate(messages) if place not in missing)
        if missing:
            why = next(iter(missing.values()))
            raise Retriable(f"run {run_id}: {len(missing)} of {count} orders are not acknowledged: {why}")
        return {"run_id": run_id, "orders": count, "first": request.first, "start": start.isoformat()}

    def _run_id(self, request: OrderRequest, invocation: Invocation) -> str:
        run_id = request.id or invocation.request_id or f"adhoc-{int(self._telemetry.now() * 1000):x}"
        if not valid_run_id(run_id):
            raise UsageError(
                f"id is {run_id!r}, which cannot name a run: use up to 64 of a-z, 0-9, '.', '_', '-', with a letter or "
                "digit at both ends"
            )
        return run_id

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._telemetry.now(), UTC)

    def _options(self, request: OrderRequest) -> dict[str, Any]:
        options = options_of(self._service, self._settings.seed)
        for name, value in (("seed", self._settings.seed), ("seed", request.seed), ("shop_rate", request.shop_rate)):
            if value is not None:
                options[name] = value
        return options


def read_request(event: Any) -> OrderRequest:
    """What an invoking event asks for.

    Raises:
        UsageError: It asks for something impossible.
    """
    try:
        return msgspec.convert({} if event is None else event, OrderRequest)
    except msgspec.ValidationError as error:
        raise UsageError(
            f'{error}: invoke order_generator with {{"orders": n}}, n from 0 to {MOST_ORDERS}, and, if you like, id (a '
            "text), time (ISO 8601 with a time zone), first (a whole number from 0), seed (a whole number) and "
            "shop_rate (a number above 0)"
        ) from error


def _began(invocation: Invocation) -> datetime | None:
    """When X-Ray says that the request began: a trace id is `1-<seconds since 1970, 8 hex digits>-…`."""
    found = _TRACE_TIME.match(invocation.trace_id or "")
    return datetime.fromtimestamp(int(found[1], 16), UTC) if found else None
