"""The shop as its user has it: the command line, against a cluster of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from shopstream.settings import ClientSettings

WITHIN = 120  # seconds, for one run


class Shop:
    """The command line against a cluster of its own."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.home = cluster.home.root
        if not (self.home / "cache").is_symlink():  # the command line looks for Kafka's jars here
            shutil.rmtree(self.home / "cache", ignore_errors=True)
            (self.home / "cache").symlink_to(cluster._cache)
        self.topology = cluster.topology
        self.admin = ClientSettings.from_properties(cluster.properties(cluster.topology.user_of("admin")))

    def command(self, *arguments):
        return [sys.executable, "-m", "shopstream.cli.main", *map(str, arguments)]

    def run(self, *arguments, expect=0, within=WITHIN):
        environment = {**os.environ, "SHOPSTREAM_HOME": str(self.home)}
        done = subprocess.run(
            self.command(*arguments), env=environment, capture_output=True, text=True, timeout=within, check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def verdict(self, *arguments, expect=0, within=WITHIN):
        return json.loads(self.run(*arguments, "--json", expect=expect, within=within).stdout)

    @contextmanager
    def running(self, *arguments):
        """A run in the background, once its orders flow."""
        environment = {**os.environ, "SHOPSTREAM_HOME": str(self.home)}
        (self.home / "run.json").unlink(missing_ok=True)
        process = subprocess.Popen(
            self.command("run", *arguments),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.wait(lambda: (self.home / "run.json").exists() or process.poll() is not None, "no run.json")
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    @property
    def pids(self):
        return json.loads((self.home / "run.json").read_text())["pids"]

    def wait(self, condition, otherwise, timeout=60):
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.02)
        return found

    def end_of(self, topic):
        return sum(end for _, end in self.ends(topic).values())

    def ends(self, topic):
        with self.consumer() as consumer:
            partitions = range(self.topology.topics[topic].partitions)
            return {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in partitions}

    @contextmanager
    def consumer(self):
        consumer = Consumer(
            {
                **self.admin.to_librdkafka(),
                "group.id": "test",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()

    def records(self, topic, start=None):
        """All committed records, partition by partition."""
        with self.consumer() as consumer:
            missing = set(range(self.topology.topics[topic].partitions))
            found = {number: [] for number in missing}
            consumer.assign([TopicPartition(topic, n, start[n][1] if start else 0) for n in missing])
            while missing:
                first = consumer.poll(10)
                assert first is not None, f"no answer about {topic}"
                for message in (first, *consumer.consume(10_000, 0)):
                    if message.error():
                        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                        missing.discard(message.partition())
                    else:
                        found[message.partition()].append(message)
        return [message for number in sorted(found) for message in found[number]]

    def producer(self):
        return Producer(
            {
                **self.admin.to_librdkafka(),
                "partitioner": "murmur2_random",
                "message.max.bytes": 1_048_576,
                "linger.ms": 5,
            }
        )
