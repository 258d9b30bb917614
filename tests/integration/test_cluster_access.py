"""Every user can do what the topology declares for it, and nothing else; strangers can do nothing.

The clients here are confluent_kafka's, configured with nothing but the files that `shopstream env` names.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from shopstream.cluster import certificates
from shopstream.settings import ClientSettings, Secret

pytestmark = pytest.mark.kafka

TIMEOUT_S = 20
QUIET = {"log_level": 0, "retry.backoff.ms": 20}


@pytest.fixture(scope="module")
def cluster(spare_cluster):
    """What is written here makes no sense to the shop."""
    return spare_cluster


@pytest.fixture(scope="module")
def connect(cluster):
    """What `env` gives a user, as librdkafka takes it."""
    return lambda user: {**ClientSettings.from_properties(cluster.properties(user)).to_librdkafka(), **QUIET}


@pytest.fixture(scope="module")
def declared(cluster):
    """For each user what it may write and read, its group, and its transactional ids, from the declarations alone."""
    topology = cluster.topology
    everything = tuple(topology.topics)
    groups = topology.groups
    prefixes = tuple(service.transactional_id_prefix for service in topology.services.values())
    rights = {
        service.name: (service.writes, service.reads, service.groups, (service.transactional_id_prefix,))
        for service in topology.services.values()
    }
    for operator in topology.operators.values():
        rights[operator.name] = (
            (everything, everything, groups, prefixes) if operator.superuser else ((), operator.reads, (), ())
        )
    return rights


def everyone(declared, check):
    """Do something as every user, all at the same time; what is found is told user by user."""
    with ThreadPoolExecutor(len(declared)) as pool:
        return dict(zip(declared, pool.map(check, declared), strict=True))


def succeeds(call, refusal):
    """Whether Kafka allows something. Any other error than its refusal is raised."""
    try:
        call()
    except KafkaException as error:
        if error.args[0].code() != refusal:
            raise
        return False
    return True


def test_each_user_can_write_to_its_topics_and_no_other(cluster, connect, declared):
    def writable(user):
        outcomes = {}
        producer = Producer(connect(user))
        for topic in cluster.topology.topics:
            producer.produce(
                topic, b"{}", key=b"access", on_delivery=lambda error, _, topic=topic: outcomes.update({topic: error})
            )
        assert producer.flush(TIMEOUT_S) == 0
        refused = {error.code() for error in outcomes.values() if error}
        assert refused <= {KafkaError.TOPIC_AUTHORIZATION_FAILED}
        return {topic for topic, error in outcomes.items() if error is None}

    assert everyone(declared, writable) == {user: set(writes) for user, (writes, *_) in declared.items()}


def test_each_user_can_read_its_topics_and_no_other(cluster, connect, declared):
    def readable(user):
        config = {"group.id": f"{user}-access", "enable.partition.eof": True, "enable.auto.commit": False}
        consumer = Consumer({**connect(user), **config})
        # A user who may read or write a topic may see it as well: what it cannot see, it cannot read.
        visible = consumer.list_topics(timeout=TIMEOUT_S).topics
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in visible])
        outcomes = {}
        try:
            while len(outcomes) < len(visible):
                message = consumer.poll(TIMEOUT_S)
                assert message is not None, f"{user} has heard only of {sorted(outcomes)}"
                if message.topic() is None:  # the group, which is another test's business
                    continue
                refused = message.error() and message.error().code() != KafkaError._PARTITION_EOF
                if refused:
                    assert message.error().code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
                outcomes[message.topic()] = not refused
        finally:
            consumer.close()
        return {topic for topic, read in outcomes.items() if read} & set(cluster.topology.topics)

    assert everyone(declared, readable) == {user: set(reads) for user, (_, reads, *_) in declared.items()}


def test_each_service_can_commit_with_its_group_and_no_other(cluster, connect, declared):
    def usable(user):
        topic = next(iter(declared[user][1]), "order_placed")  # who reads nothing is refused the group already
        return {group for group in cluster.topology.groups if _commits(connect(user), group, topic)}

    expected = {user: set(groups) for user, (_, _, groups, _) in declared.items()}
    assert everyone(declared, usable) == expected


def test_only_a_service_with_event_sources_and_an_inspector_can_see_the_brokers_settings(cluster, connect, declared):
    """AWS's pollers ask for them when they connect as the service's user, and Control Center shows them."""

    def sees(user):
        admin = AdminClient(connect(user))
        broker = ConfigResource(ConfigResource.Type.BROKER, str(min(admin.list_topics(timeout=TIMEOUT_S).brokers)))
        answer = admin.describe_configs([broker], request_timeout=TIMEOUT_S)[broker]
        return succeeds(lambda: answer.result(TIMEOUT_S), KafkaError.CLUSTER_AUTHORIZATION_FAILED)

    consumers = {service.name for service in cluster.topology.services.values() if service.consumes}
    inspectors = {operator.name for operator in cluster.topology.operators.values() if operator.inspects}
    expected = {user: user in {*consumers, *inspectors, *cluster.topology.superusers} for user in declared}
    assert everyone(declared, sees) == expected


def _commits(config, group, topic):
    admin = AdminClient(config)
    offsets = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
    try:
        committed = admin.alter_consumer_group_offsets([offsets])[group].result(TIMEOUT_S)
    except KafkaException as error:
        errors = {error.args[0].code()}
    else:
        errors = {partition.error.code() for partition in committed.topic_partitions if partition.error}
    assert errors <= {KafkaError.GROUP_AUTHORIZATION_FAILED}
    return not errors


def test_readers_can_use_groups_that_begin_with_their_name_or_prefix(cluster, connect):
    for operator in cluster.topology.operators.values():
        if operator.reads:
            own = operator.owns or operator.name
            assert _commits(connect(operator.name), f"{own}-mine", operator.reads[0])
            if operator.owns:
                assert not _commits(connect(operator.name), f"{operator.name}-mine", operator.reads[0])


def test_an_owner_makes_topics_of_its_prefix_and_no_others_and_a_feeder_its_own(cluster, connect):
    names = ("_confluent-metrics", "_confluent-other", "other")

    def made(user):
        client = AdminClient(connect(user))
        futures = client.create_topics([NewTopic(name, 1, 1) for name in names], request_timeout=TIMEOUT_S)
        return {
            name
            for name, future in futures.items()
            if succeeds(lambda future=future: future.result(TIMEOUT_S), KafkaError.TOPIC_AUTHORIZATION_FAILED)
        }

    owner = AdminClient(connect("control_center"))
    assert made("dashboard") == set()
    assert made("metrics_reporter") == {"_confluent-metrics"}
    try:
        delivered = []
        producer = Producer(connect("metrics_reporter"))
        producer.produce("_confluent-metrics", b"{}", on_delivery=lambda error, _: delivered.append(error))
        assert producer.flush(TIMEOUT_S) == 0
        assert delivered == [None]
    finally:
        owner.delete_topics(["_confluent-metrics"])["_confluent-metrics"].result(TIMEOUT_S)
    mine = {"_confluent-metrics", "_confluent-other"}
    assert made("control_center") == mine
    for future in owner.delete_topics(sorted(mine)).values():
        future.result(TIMEOUT_S)


def test_each_service_can_use_its_transactional_ids_and_no_other(cluster, connect, declared):
    prefixes = [service.transactional_id_prefix for service in cluster.topology.services.values()]

    def usable(user):
        with ThreadPoolExecutor(len(prefixes)) as pool:
            outcomes = pool.map(lambda prefix: _transacts(connect(user), f"{prefix}access"), prefixes)
            return {prefix for prefix, usable in zip(prefixes, outcomes, strict=True) if usable}

    assert everyone(declared, usable) == {user: set(ids) for user, (*_, ids) in declared.items()}


def _transacts(config, transactional_id):
    producer = Producer({**config, "transactional.id": transactional_id})
    return succeeds(lambda: producer.init_transactions(TIMEOUT_S), KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)


def test_each_service_can_take_records_through_a_transaction(cluster, connect):
    """Consume, produce and send offsets in one transaction, as its worker does."""

    def transact(service):
        producer = Producer({**connect(service.name), "transactional.id": service.transactional_id(99)})
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        for topic in service.writes:
            producer.produce(topic, b"{}", key=b"access")
        if service.group:
            consumer = Consumer({**connect(service.name), "group.id": service.group, "enable.auto.commit": False})
            offsets = [TopicPartition(topic, 0, 0) for topic in service.consumes]
            producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT_S)
            consumer.close()
        producer.commit_transaction(TIMEOUT_S)
        return service.name

    with ThreadPoolExecutor(len(cluster.topology.services)) as pool:
        assert set(pool.map(transact, cluster.topology.services.values())) == set(cluster.topology.services)


def test_only_the_administrator_can_administer(cluster, connect, declared):
    def may_create(user):
        admin = AdminClient(connect(user))
        future = admin.create_topics([NewTopic("stranger", 1, 1)], validate_only=True)["stranger"]
        return succeeds(lambda: future.result(TIMEOUT_S), KafkaError.TOPIC_AUTHORIZATION_FAILED)

    allowed = everyone(declared, may_create)
    assert {user for user, may in allowed.items() if may} == set(cluster.topology.superusers)


def refusal(config):
    """The code of the error with which a connection ends that must not come about."""
    errors = []
    client = AdminClient(
        {**config, **QUIET, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "error_cb": errors.append}
    )
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1)
    client.poll(0)
    return {error.code() for error in errors}


def test_a_wrong_password_is_refused(cluster):
    settings = ClientSettings.from_properties(cluster.properties("auditor"))
    wrong = settings.with_user("auditor", Secret("wrong"))
    assert KafkaError._AUTHENTICATION in refusal(wrong.to_librdkafka())


def test_an_unknown_user_is_refused(cluster):
    settings = ClientSettings.from_properties(cluster.properties("auditor"))
    assert KafkaError._AUTHENTICATION in refusal(settings.with_user("stranger", Secret("x")).to_librdkafka())


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_connection_without_tls_is_refused(connect, protocol):
    assert refusal({**connect("auditor"), "security.protocol": protocol})


def test_a_connection_without_a_user_is_refused(connect):
    config = {key: value for key, value in connect("auditor").items() if not key.startswith("sasl")}
    assert refusal({**config, "security.protocol": "SSL"})


def test_a_broker_with_a_certificate_of_an_unknown_authority_is_refused(cluster, connect, tmp_path):
    certificates.ensure(tmp_path, 1, datetime.now(UTC))
    assert KafkaError._SSL in refusal({**connect("auditor"), "ssl.ca.location": str(tmp_path / "ca.pem")})


@pytest.mark.parametrize("listener", ["internal_port", "controller_port"])
def test_the_brokers_own_listeners_want_one_of_their_certificates(cluster, tmp_path, listener):
    """Without a certificate, and with one of another authority, nobody gets in."""
    certificates.ensure(tmp_path, 1, datetime.now(UTC))
    port = getattr(cluster.status().brokers[0], listener)
    anonymous = {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "security.protocol": "SSL",
        "ssl.ca.location": str(cluster.home.ca),
    }
    foreign = str(certificates.keystore(tmp_path, 1))
    assert refusal(anonymous)
    assert refusal({**anonymous, "ssl.certificate.location": foreign, "ssl.key.location": foreign})


def test_it_listens_on_loopback_only(cluster):
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        for port in (cluster.status().brokers[0].client_port, cluster.status().brokers[0].internal_port):
            with socket.socket() as probe:
                probe.settimeout(1)
                assert probe.connect_ex((address, port)) != 0


def test_no_password_or_key_is_anywhere_but_in_its_own_file(cluster):
    secrets = {
        ClientSettings.from_properties(cluster.properties(user)).password.reveal(): cluster.properties(user)
        for user in cluster.topology.users
    }
    command = " ".join(cluster._brokers()[0].process().cmdline())
    assert not [secret for secret in secrets if secret in command]
    for path in cluster.home.root.rglob("*"):
        if path.is_file() and path.suffix not in {".index", ".timeindex"}:  # they are large, and hold numbers
            content = path.read_bytes()
            found = {owner for secret, owner in secrets.items() if secret.encode() in content}
            assert found <= {path}
            if found or b"PRIVATE KEY" in content:
                assert path.stat().st_mode & 0o777 == 0o600
                assert path.parent.stat().st_mode & 0o777 == 0o700
