"""What the tests of event source mappings on a real Kafka share: a topic, a mapping's rights, functions that note."""

import re
import uuid

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions as Group
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.model import FunctionConfig, MappingConfig
from shopstream.settings import ClientSettings
from tests.lambda_world import runtime, zipped
from tests.waiting import until

APP = """
    import base64, json, os, time

    def places(event):
        for name, records in event["records"].items():
            for record in records:
                yield name, record["offset"], record

    def note(event, context):
        for name, offset, record in places(event):
            print("GOT", name, offset, base64.b64decode(record["value"]).decode())

    def poison(event, context):
        note(event, context)
        if not os.path.exists(os.environ["MENDED"]):
            raise ValueError("not yet")

    def slow_once(event, context):
        if os.path.exists(os.environ["MENDED"]):
            return note(event, context)
        open(os.environ["MENDED"], "w").close()
        time.sleep(60)

    def some(event, context):
        note(event, context)
        bad = [{"partition": name, "offset": offset} for name, offset, r in places(event) if offset % 7 == 3]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in bad]}

    def shape(event, context):
        print("EVENT " + json.dumps(event))
"""


class Secrets:
    """What a mapping names, in memory: it can be corrupted and corrected."""

    def __init__(self, settings):
        self.user = {"username": settings.username, "password": settings.password.reveal()}
        self.ca = {"certificate": settings.ca.read_text()}

    def get(self, reference):
        return dict(getattr(self, reference))


class World:
    """A topic of its own, and functions that note what they get in their logs."""

    def __init__(self, cluster, tmp_path):
        self.cluster = cluster
        self.topic = f"l{uuid.uuid4().hex[:8]}"
        self.home = tmp_path
        self.mended = tmp_path / "mended"
        self.admin_settings = ClientSettings.from_properties(cluster.properties(cluster.topology.user_of("admin")))
        self.user = ClientSettings.from_properties(cluster.properties("payment_processor"))
        self.secrets = Secrets(self.user)
        self.admin = AdminClient(self.admin_settings.to_librdkafka())
        self.producer = Producer({**self.admin_settings.to_librdkafka(), "linger.ms": 1})
        self.code = zipped(tmp_path / "app.zip", app=APP)
        self.sent = []
        self.told = []
        self.group = f"{self.topic}.group"

    def create(self, partitions=3):
        for future in self.admin.create_topics([NewTopic(self.topic, partitions, 1)]).values():
            future.result()

    def allow(self):
        literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
        user = f"User:{self.user.username}"
        bindings = [
            AclBinding(kind, name, literal, user, "*", AclOperation.READ, allow)
            for kind, name in ((ResourceType.TOPIC, self.topic), (ResourceType.GROUP, self.group))
        ]
        for future in self.admin.create_acls(bindings).values():
            future.result()

    def send(self, count, partitions=3):
        for _ in range(count):
            number = len(self.sent)
            self.sent.append(str(number))
            self.producer.produce(self.topic, str(number).encode(), partition=number % partitions)
            if number % 1000 == 0:
                self.producer.poll(0)
        assert self.producer.flush(30) == 0

    def host(self, handler, *, timeout=30, **options):
        changes = options.pop("mapping", {})
        function = FunctionConfig("fn", self.code, f"app.{handler}", timeout, environment={"MENDED": str(self.mended)})
        fields = {
            "uuid": "u",
            "function": "fn",
            "topic": self.topic,
            "bootstrap_servers": tuple(self.user.bootstrap_servers.split(",")),
            "group": self.group,
            "auth_secret": "user",
            "ca_secret": "ca",
            "window": 0.05,
            **changes,
        }
        return LambdaHost(
            [function],
            [MappingConfig(**fields)],
            secrets=self.secrets,
            runtime=runtime(),
            home=self.home,
            tell=self.told.append,
            **options,
        )

    @property
    def got(self):
        """What the function noted: partition, offset, value."""
        log = self.home / "logs" / "fn.log"
        text = log.read_text() if log.exists() else ""
        return [
            (name, int(at), value) for name, at, value in re.findall(r"^GOT \S+-(\d+) (\d+) (\d+)$", text, re.MULTILINE)
        ]

    def all_seen(self):
        return {value for *_, value in self.got} >= set(self.sent)

    def committed(self):
        wanted = [Group(self.group, [TopicPartition(self.topic, n) for n in range(3)])]
        (future,) = self.admin.list_consumer_group_offsets(wanted, request_timeout=5).values()
        try:
            return sum(max(0, place.offset) for place in future.result().topic_partitions)
        except KafkaException:  # a broker that has just come back has not loaded its groups
            return -1

    def everything_is_there_and_in_order(self):
        until(self.all_seen, "every record has been seen")
        until(lambda: self.committed() == len(self.sent), "every offset is committed")
        first_seen = {}
        for place, (partition, offset, _) in enumerate(self.got):
            first_seen.setdefault((partition, offset), place)
        for partition in {partition for partition, _ in first_seen}:
            order = [offset for (number, offset) in first_seen if number == partition]
            assert order == sorted(order), f"partition {partition}"


def counts(host):
    return host.counts()["u"]


@pytest.fixture
def world(cluster, tmp_path):
    """A topic that its user may read, on the cluster that all tests share."""
    world = World(cluster, tmp_path)
    world.create()
    world.allow()
    return world
