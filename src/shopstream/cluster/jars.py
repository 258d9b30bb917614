"""Kafka's jars for the local cluster, as `kafka.lock` names them.

To move to another Kafka, change `ROOTS` and run

    python -m shopstream.cluster.jars --relock
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.cluster import maven

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.cluster.maven import Jar

LOCK = Path(__file__).with_name("kafka.lock")
KAFKA = "org.apache.kafka:kafka_2.13"
# slf4j-simple logs to stderr, which becomes the broker's log file. Kafka's slf4j-api is 1.7, so the binding is too.
ROOTS = (f"{KAFKA}:4.4.0", "org.slf4j:slf4j-simple:1.7.36")
# Only for changing a broker's log levels while it runs; to have it loaded makes a start slower by a tenth.
LEFT_OUT = frozenset({"org.apache.logging.log4j:log4j-core"})
_HEADER = """\
# Kafka and all that it needs: SHA-256, then group:artifact:version.
# Written by `python -m shopstream.cluster.jars --relock`.
"""
_REMEDY = "restore it from version control, or write it anew with `python -m shopstream.cluster.jars --relock`"


@dataclass(frozen=True)
class Lock:
    """What kafka.lock says."""

    jars: tuple[Jar, ...]

    @classmethod
    def read(cls, path: Path = LOCK) -> Lock:
        """Read a lock.

        Raises:
            ClusterError: It is missing or not a lock.
        """
        return cls(maven.read(path, KAFKA, _REMEDY))

    def to_text(self) -> str:
        """As `read` takes it."""
        return maven.to_text(_HEADER, self.jars)

    @property
    def kafka_version(self) -> str:
        """For example 4.4.0."""
        return next(jar.version for jar in self.jars if jar.name == KAFKA)

    @property
    def digest(self) -> str:
        """Twelve characters that change with any line."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:12]


def install(cache: Path, lock: Lock, progress: Callable[[str], None] = lambda _: None) -> tuple[Path, ...]:
    """Make sure that every locked jar is there and is the very file that was locked.

    Args:
        cache: Where installations are kept.
        lock: What to install.
        progress: Told in a line when something must be downloaded.

    Returns:
        The classpath, always in the same order.

    Raises:
        ClusterError: A jar is damaged, differs from the lock, or cannot be had.
    """
    text = f"downloading Kafka {lock.kafka_version} ({len(lock.jars)} jars, about 43 MB, once)"
    return maven.install(cache / f"kafka-{lock.kafka_version}-{lock.digest}", lock.jars, lambda: progress(text))


def resolve() -> Lock:
    """Resolve `ROOTS` and everything that they need, download it, and hash it. Takes about 20 s."""
    return Lock(maven.resolve(ROOTS, LEFT_OUT))


def main() -> None:
    """Show the lock, or write it anew."""
    parser = argparse.ArgumentParser(description="The locked jars of the local Kafka.")
    parser.add_argument("--relock", action="store_true", help="resolve Kafka's jars anew and write kafka.lock")
    if parser.parse_args().relock:
        LOCK.write_text(resolve().to_text(), encoding="utf-8")
    lock = Lock.read()
    print(f"Kafka {lock.kafka_version}, {len(lock.jars)} jars, lock {lock.digest}")


if __name__ == "__main__":
    main()
