"""Makes the JVM's ahead-of-time cache, once: a throwaway broker does what every broker does, and remembers it.

The cache holds Kafka's classes, loaded and linked. With it a broker starts in a third of the time.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shopstream.errors import ClusterError
from shopstream.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.cluster.jvm import Jvm
    from shopstream.topology import Topology

_STOP_S = 90.0
_STEP_S = 15.0


class Cluster(Protocol):
    """What training needs of a cluster."""

    def up(self) -> object:
        """Start it."""

    def down(self, *, timeout: float, linger: float) -> object:
        """Stop it: within `timeout` seconds its data, and within `linger` more its process."""

    def properties(self, user: str) -> Path:
        """A user's client properties file."""


def train(
    jvm: Jvm, topology: Topology, throwaway: Callable[[Path, Jvm], Cluster], progress: Callable[[str], None]
) -> None:
    """Make the cache of a JVM. A failure is told as progress, and costs nothing but speed.

    Args:
        jvm: What to train.
        topology: What the throwaway cluster has.
        throwaway: Makes a cluster of one broker, from a directory and the JVM to run it with.
        progress: Told in a line what is being done.
    """
    progress("preparing quick starts: a trial run of Kafka, once, about 10 s")
    with tempfile.TemporaryDirectory(dir=jvm.cache, prefix=".training-", ignore_cleanup_errors=True) as directory:
        trained = Path(directory) / jvm.aot.name
        cluster = throwaway(Path(directory) / "home", replace(jvm, training=trained))
        try:
            cluster.up()
            _exercise(cluster, topology)
            cluster.down(timeout=_STOP_S, linger=_STOP_S)  # the cache is written as the process ends
            trained.replace(jvm.aot)
        except (ClusterError, OSError) as error:
            progress(f"that failed, so starts will take some seconds longer: {error}")
        finally:
            cluster.down(timeout=0, linger=0)  # after an error or Ctrl-C: nothing may stay


def _exercise(cluster: Cluster, topology: Topology) -> None:
    """One record through one transaction, read by a group: what the shop's services do all the time."""
    from confluent_kafka import Consumer, KafkaException, Producer

    source = topology.source
    reader = next(service for service in topology.processors if set(service.consumes) & set(source.produces))
    writing = ClientSettings.from_properties(cluster.properties(source.name)).to_librdkafka()
    reading = ClientSettings.from_properties(cluster.properties(reader.name)).to_librdkafka()
    quick = {"retry.backoff.ms": 20, "log_level": 0}
    producer = Producer({**writing, **quick, "transactional.id": source.transactional_id(0)})
    consumer = Consumer(
        {
            **reading,
            **quick,
            "group.id": reader.group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe(list(source.produces))
        consumer.poll(0)  # joins the group meanwhile
        producer.init_transactions(_STEP_S)
        producer.begin_transaction()
        producer.produce(source.produces[0], key=b"training", value=b"{}")
        producer.commit_transaction(_STEP_S)
        if message := consumer.poll(_STEP_S):
            consumer.commit(message=message, asynchronous=False)
    except KafkaException as error:
        raise ClusterError(f"the trial run stopped: {error.args[0].str()}") from error
    finally:
        consumer.close()
