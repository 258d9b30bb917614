"""How long things took: a histogram of fixed relative precision, and the quantiles of it.

The buckets grow by a constant factor, as in DDSketch (Masson, Rim and Lee, "DDSketch: A fast and fully-mergeable
quantile sketch with relative-error guarantees", VLDB 2019): every quantile is within 1 % of a duration that was
really seen, and a day's range fits into about 900 counters.
"""

from __future__ import annotations

from math import ceil, log

from msgspec import Struct

PRECISION = 0.01
_GROWTH = (1 + PRECISION) / (1 - PRECISION)
_PER_LOG = 1 / log(_GROWTH)


class Quantiles(Struct, frozen=True):
    """What a histogram has to say. All in milliseconds; `max` is exact, the others are within 1 %."""

    p50: float
    p95: float
    p99: float
    max: int


class Histogram:
    """Counts durations in whole milliseconds."""

    __slots__ = ("_buckets", "_count", "_max")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0
        self._max = 0

    def add(self, ms: int) -> None:
        """Count one duration. A negative one comes from clocks that disagree, and counts as 0."""
        # Bucket i holds what lies in (growth^(i-1), growth^i]; -1 holds 0.
        bucket = ceil(log(ms) * _PER_LOG) if ms > 0 else -1
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._count += 1
        if ms > self._max:
            self._max = ms

    def merge(self, other: Histogram) -> None:
        """Count everything that the other has counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._count += other._count
        self._max = max(self._max, other._max)

    def quantile(self, q: float) -> float:
        """The duration that a share `q` (0 to 1) does not exceed, in milliseconds, within 1 %. 0 if there is none."""
        rank = ceil(q * self._count)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                # The value with the same relative distance to both ends of the bucket.
                return min(2 * _GROWTH**bucket / (_GROWTH + 1), float(self._max)) if bucket >= 0 else 0.0
        return 0.0

    def quantiles(self) -> Quantiles | None:
        """The usual ones, rounded to a tenth; None if nothing was counted."""
        if not self._count:
            return None
        p50, p95, p99 = (round(self.quantile(q), 1) for q in (0.5, 0.95, 0.99))
        return Quantiles(p50=p50, p95=p95, p99=p99, max=self._max)
