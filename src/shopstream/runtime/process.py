"""One service instance as a process: `python -m shopstream.runtime.process`, told what to do by JSON on its input.

The first line of standard input is a `Task`. After that an end of input means that whoever started this is gone, and
the process ends as on SIGTERM: it commits what it is at and leaves. Its counts go to standard output, a JSON line at
a time; its log goes to standard error.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from shopstream import settings, topology
from shopstream.errors import Fenced, ShopstreamError
from shopstream.runs import Guarantee, Run  # noqa: TC001 - msgspec reads the annotations at run time
from shopstream.runtime.generator import Generator
from shopstream.runtime.kafka_input import KafkaInput
from shopstream.runtime.kafka_log import KafkaLog
from shopstream.runtime.kafka_output import output_for
from shopstream.runtime.ledger import Ledger
from shopstream.runtime.processor import core_of, look_beside, processor_for
from shopstream.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shopstream.events import Event

log = logging.getLogger("shopstream")

# The last resort: a process that has not moved for so long is ended hard; its supervisor starts a new one, which fences
# it and goes on. The longest step that is in order is a rebalance while a dead worker's transaction times out.
WATCHDOG = 60.0  # seconds
_REPORT_EVERY = 0.25  # seconds

EXIT_STUCK = 70
EXIT_FENCED = 75


class Task(Struct, frozen=True, kw_only=True):
    """What a process shall do.

    Attributes:
        service: Its name in the topology.
        instance: Which instance of it (0, 1, …).
        cluster: A client properties file; the service's own lies beside it.
        topology: The topology file, with the code of its services beside it; None for the one that comes with
            shopstream.
        guarantee: What its output promises.
        seed: The run's seed.
        run: For the source of events: what to bring.
        rate: For the source: orders a second; None for as fast as possible.
        ledger: For the source: where it notes what was acknowledged.
    """

    service: str
    instance: int = 0
    cluster: str
    topology: str | None = None
    guarantee: Guarantee = "exactly-once"
    seed: int | None = None
    run: Run | None = None
    rate: float | None = None
    ledger: str | None = None


def main() -> int:
    """Carry out the task on standard input. Returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Batches are trees of short-lived objects without cycles: looking for cycles among them takes time and finds none.
    gc.set_threshold(200_000, 50, 50)
    task = msgspec.json.decode(sys.stdin.readline(), type=Task)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    watch = _Watch()
    threading.Thread(target=watch.run, daemon=True).start()
    try:
        carry_out(task, stop.is_set, watch.alive)
    except Fenced as error:
        log.error("%s: is another `shopstream run` working on this cluster? This one stops.", error)  # noqa: TRY400
        return EXIT_FENCED
    except ShopstreamError as error:
        log.error("%s", error)  # noqa: TRY400 - its text is meant for the user
        return error.exit_code
    return 0


def carry_out(task: Task, stopping: Callable[[], bool], alive: Callable[[], None]) -> None:
    """Run a service instance until `stopping()`.

    Args:
        task: What to do.
        stopping: Whether to end after the batch at hand.
        alive: Called between batches.

    Raises:
        ShopstreamError: It cannot go on.
    """
    shop = topology.load(Path(task.topology) if task.topology else None)
    if task.topology:
        look_beside(Path(task.topology))
    service = shop.services[task.service]
    log.info("%s %d, %s", service.name, task.instance, task.guarantee)
    client = settings.for_user(Path(task.cluster), service.name)
    name = f"{service.name}-{task.instance}"
    working: Generator | Worker
    if task.run is not None:
        progress = KafkaLog(client, name)
        source = working = Generator(
            shop,
            task.run,
            partial(_orders, core_of(service).generate_orders),
            output_for(task.guarantee, client, service, task.instance),
            progress,
            rate=task.rate,
            acknowledged=Ledger(Path(task.ledger)).note if task.ledger else lambda _: None,
        )
        placed = next(iter(service.produces))
        report = _Report(
            lambda: {
                "written": {placed: source.done.committed},
                "batches": source.batches,
                "finished": source.done.finished,
            }
        )
    else:
        member = KafkaInput(client, str(service.group), name)
        output = output_for(task.guarantee, client, service, task.instance, member)
        worker = working = Worker(processor_for(shop, service, seed=task.seed), member, output)
        report = _Report(lambda: vars(worker.counts))

    def between() -> None:
        alive()
        report.maybe()

    try:
        working.run(stopping, between)
    finally:
        report.now()
        working.close()


def _orders(generate: Callable[..., Iterable[Event]], run: Run, first: int, count: int) -> Iterable[Event]:
    return generate(first, count, run_id=run.run_id, seed=run.seed, start=run.start, shop_rate=run.shop_rate)


class _Report:
    """Writes counts to standard output, now and then."""

    def __init__(self, counts: Callable[[], dict[str, Any]]) -> None:
        self._counts = counts
        self._next = 0.0

    def maybe(self) -> None:
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        self._next = time.monotonic() + _REPORT_EVERY
        try:
            print(json.dumps(self._counts()), flush=True)
        except BrokenPipeError:  # nobody listens any more; the end of input will say so too
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of the process


class _Watch:
    """Ends the process when it has not been heard of for too long."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def alive(self) -> None:
        self._last = time.monotonic()

    def run(self) -> None:
        while True:
            time.sleep(WATCHDOG / 20)
            if time.monotonic() - self._last > WATCHDOG:
                log.critical("no progress for %.0f s: giving up, so that a new process can take over", WATCHDOG)
                faulthandler.dump_traceback()
                os._exit(EXIT_STUCK)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while sys.stdin.readline():
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
