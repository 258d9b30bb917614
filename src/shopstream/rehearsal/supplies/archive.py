"""Kafka's archive, put together from Maven's jars in the layout of the official one: bin/, config/, libs/.

The jars are the real ones. The scripts are the rehearsal's own, with the names, arguments and variables that the
playbooks use.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.rehearsal.supplies.building import built, digest, digest_of_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.rehearsal.supplies.artifacts import Bundle

_OWN = Path(__file__).with_name("kafka")
_TIME = 1_700_000_000  # of every file in an archive
_TOOLS = {
    "kafka-acls.sh": "kafka.admin.AclCommand",
    "kafka-broker-api-versions.sh": "kafka.admin.BrokerApiVersionsCommand",
    "kafka-cluster.sh": "org.apache.kafka.tools.ClusterTool",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "kafka.tools.ConsoleProducer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-dump-log.sh": "kafka.tools.DumpLogSegments",
    "kafka-features.sh": "org.apache.kafka.tools.FeatureCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-leader-election.sh": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-log-dirs.sh": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-reassign-partitions.sh": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
    "zookeeper-shell.sh": "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka",
}
_LAUNCHER = """\
#!/bin/bash
# Written for the rehearsal.
exec "$(dirname "$(readlink -f "$0")")/kafka-run-class.sh" {main} "$@"
"""
# The official script takes its first argument as the server.
_ARGUMENTS = {"zookeeper-shell.sh": ' -server "$@"'}


def archive(cache: Path, bundle: Bundle, progress: Callable[[str], None]) -> Path:
    """The directory that holds a Kafka's archive; built when there is none.

    Args:
        cache: Where supplies are kept.
        bundle: Which Kafka.
        progress: Told in a line when something must be downloaded.

    Raises:
        ClusterError: A jar is damaged, differs from the lock, or cannot be had.
    """

    def build(root: Path) -> None:
        jars = bundle.install(cache, progress)
        name = f"kafka_2.13-{bundle.version}"
        files = {f"{name}/libs/{jar.name}": jar.read_bytes() for jar in jars}
        files.update({f"{name}/{path}": content for path, content in scripts().items()})
        pack(root / f"{name}.tgz", files)

    return built(cache, bundle.name, digest([bundle.digest(), digest_of_files(_OWN), _TOOLS, _LAUNCHER, 2]), build)


def scripts() -> dict[str, bytes]:
    """bin/ and config/: path and content."""
    files = {str(path.relative_to(_OWN)): path.read_bytes() for path in _OWN.rglob("*") if path.is_file()}
    for name, main in _TOOLS.items():
        text = _LAUNCHER.format(main=main)
        files[f"bin/{name}"] = text.replace(' "$@"', _ARGUMENTS.get(name, ' "$@"')).encode()
    return files


def pack(target: Path, files: dict[str, bytes]) -> None:
    """Write a .tgz that has the same bytes whenever the files have."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=_TIME) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        directories = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for name in sorted(directories | files.keys()):
            entry = tarfile.TarInfo(name)
            entry.mtime = _TIME
            entry.uname = entry.gname = "root"
            if name in directories:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.mode = 0o755 if name.endswith(".sh") else 0o644
                entry.size = len(files[name])
                tar.addfile(entry, io.BytesIO(files[name]))


def sha512_of(path: Path) -> str:
    """The SHA-512 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()
