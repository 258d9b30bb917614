"""What comes from Maven: the jars of two Kafka releases, the JMX exporter, and a Java compiler.

python -m shopstream.rehearsal.supplies.artifacts --relock
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.cluster import maven
from shopstream.rehearsal.supplies.building import digest

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCKS = Path(__file__).with_name("locks")
_REMEDY = (
    "restore it from version control, or write it anew with "
    "`python -m shopstream.rehearsal.supplies.artifacts --relock`"
)
_HEADER = """\
# SHA-256, then group:artifact:version.
# Written by `python -m shopstream.rehearsal.supplies.artifacts --relock`.
"""


@dataclass(frozen=True)
class Bundle:
    """Artifacts that belong together, in a lock of their own.

    Attributes:
        name: The lock's name.
        roots: What is asked for, as group:artifact:version; the first is what the bundle is about.
    """

    name: str
    roots: tuple[str, ...]

    @property
    def lock(self) -> Path:
        """The lock file."""
        return _LOCKS / f"{self.name}.lock"

    @property
    def version(self) -> str:
        """Of the first root."""
        return self.roots[0].rpartition(":")[2]

    def read(self) -> tuple[maven.Jar, ...]:
        """What the lock says.

        Raises:
            ClusterError: It is missing or not a lock.
        """
        return maven.read(self.lock, self.roots[0].rpartition(":")[0], _REMEDY)

    def digest(self) -> str:
        """Twelve characters that change with any line of the lock."""
        return digest([(jar.coordinate, jar.sha256) for jar in self.read()])

    def install(self, cache: Path, progress: Callable[[str], None]) -> tuple[Path, ...]:
        """Its jars, downloaded when they are not there, compared with their sums in any case.

        Raises:
            ClusterError: A jar is damaged, differs from the lock, or cannot be had.
        """
        jars = self.read()
        text = f"downloading {self.name} ({len(jars)} jars, once)"
        return maven.install(cache / f"jars-{self.name}-{self.digest()}", jars, lambda: progress(text))

    def relock(self) -> None:
        """Resolve it anew."""
        self.lock.write_text(maven.to_text(_HEADER, maven.resolve(self.roots)), encoding="utf-8")


def kafka(version: str) -> Bundle:
    """A Kafka of the line that still has ZooKeeper, with the logging that its archive brings."""
    roots = (f"org.apache.kafka:kafka_2.13:{version}", f"org.apache.kafka:kafka-tools:{version}")
    return Bundle(f"kafka-{version}", (*roots, "org.slf4j:slf4j-reload4j:1.7.36", "ch.qos.reload4j:reload4j:1.2.25"))


KAFKA = kafka("3.9.1")
KAFKA_NEXT = kafka("3.9.2")
JMX_EXPORTER = Bundle("jmx-exporter", ("io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1",))
COMPILER = Bundle("compiler", ("org.eclipse.jdt:ecj:3.42.0",))
BUNDLES = (KAFKA, KAFKA_NEXT, JMX_EXPORTER, COMPILER)


def main() -> None:
    """Show the locks, or write them anew."""
    parser = argparse.ArgumentParser(description="The locked artifacts of the rehearsal.")
    parser.add_argument("--relock", action="store_true", help="resolve them anew")
    relock = parser.parse_args().relock
    for bundle in BUNDLES:
        if relock:
            bundle.relock()
        print(f"{bundle.name}: {len(bundle.read())} jars, lock {bundle.digest()}")


if __name__ == "__main__":
    main()
