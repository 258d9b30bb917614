"""How fast the auditor judges, and how much it remembers: one process, invented orders, no Kafka.

    python bench/audit.py [--orders 1000000] [--under-way 5000]

Orders are invented in portions outside the measured time. `--under-way` is how many orders' records are mixed, so how
many are under way at once. Peak memory is the process's own (resident), what it had before the first order taken off.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time

from shopstream.audit import Auditor, configured_rates
from shopstream.events import encode, order_id
from shopstream.records import Record
from tests.audit_history import START_MS, TOPOLOGY, History, chain, partition_of

PORTION = 10_000  # orders


def invent(first: int, count: int, under_way: int, offsets: dict[tuple[str, int], int]) -> list[Record]:
    """All records of some orders, each order's spread over the time in which `under_way` others are placed."""
    waiting = []
    for number in range(first, first + count):
        order = order_id("bench", number)
        rng = random.Random(number)
        events = chain(order, approved=rng.random() < 0.9, reserved=rng.random() < 0.8)
        slowest = events[-1][0]
        for delay, event in events:
            timestamp_ms = START_MS + number + delay * under_way // max(slowest, 1)
            waiting.append((timestamp_ms, TOPOLOGY.topic_of[event.event_type], partition_of(order), event))
    records = []
    for timestamp_ms, topic, partition, event in sorted(waiting, key=lambda entry: entry[0]):
        offset = offsets.get((topic, partition), 0)
        offsets[topic, partition] = offset + 1
        records.append(Record(topic, partition, offset, timestamp_ms, event.order_id.encode(), encode(event)))
    return records


def peak_mb() -> float:
    """The process's peak so far, in MiB. macOS counts in bytes, Linux in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--under-way", type=int, default=5_000)
    arguments = parser.parse_args()
    auditor = Auditor(TOPOLOGY, expected_rates=configured_rates(TOPOLOGY))
    history = History()
    history.add_progress("bench", arguments.orders)
    auditor.feed_many(history.records())
    offsets: dict[tuple[str, int], int] = {}
    records = invent(0, PORTION, arguments.under_way, {})  # what inventing itself takes
    before, seconds, cpu, fed, most = peak_mb(), 0.0, 0.0, 0, 0
    for first in range(0, arguments.orders, PORTION):
        records = invent(first, min(PORTION, arguments.orders - first), arguments.under_way, offsets)
        begun, cpu_begun = time.perf_counter(), time.process_time()
        for start in range(0, len(records), 2_000):
            auditor.feed_many(records[start : start + 2_000])
            most = max(most, auditor.open_orders)
        seconds += time.perf_counter() - begun
        cpu += time.process_time() - cpu_begun
        fed += len(records)
    begun = time.perf_counter()
    verdict = auditor.verdict(START_MS + 10**12)
    judged = time.perf_counter() - begun
    if not verdict.ok or verdict.orders != arguments.orders:
        raise SystemExit(f"the invented history is not sound: {verdict.anomalies}")
    print(
        f"{arguments.orders:,} orders, {fed:,} records: {fed / seconds:,.0f} records/s, verdict {judged * 1000:.1f} ms"
    )
    print(f"orders under way at most: {most:,}; peak memory {peak_mb() - before:.0f} MiB above {before:.0f} MiB")


if __name__ == "__main__":
    main()
