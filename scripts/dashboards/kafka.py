"""The dashboard of the brokers."""

from __future__ import annotations

from scripts.dashboards.model import (
    BAD,
    GOOD,
    ONE_IS_GOOD,
    WARNING,
    ZERO_IS_GOOD,
    Board,
    Choice,
    Row,
    chart,
    jvm,
    stat,
)

_OWN = 'instance=~"$instance"'
_TOPIC = f'{_OWN}, topic=~"$topic"'


def _rate(metric: str, labels: str = _OWN, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _by_instance(metric: str) -> str:
    return f"sum by (instance) ({metric}{{{_OWN}}})"


_HEALTH = Row(
    "Is it well?",
    (
        stat(
            "Brokers online",
            "Three are there. With two, writes go on (min.insync.replicas is 2); with one they stop.",
            'sum(up{job="kafka"})',
            thresholds=((None, BAD), (2, WARNING), (3, GOOD)),
        ),
        stat(
            "Active controllers",
            "Exactly one broker. None: nothing is elected. Two: restart the one that ZooKeeper does not name.",
            "sum(kafka_controller_activecontrollercount)",
            thresholds=ONE_IS_GOOD,
        ),
        stat(
            "Offline partitions",
            "Partitions without a leader: they can be neither read nor written.",
            "max(kafka_controller_offlinepartitionscount)",
            thresholds=ZERO_IS_GOOD,
        ),
        stat(
            "Under-replicated",
            "Partitions that lack an in-sync replica. Expected while a broker restarts; it must fall back to 0.",
            "sum(kafka_replicamanager_underreplicatedpartitions)",
            thresholds=((None, GOOD), (1, WARNING)),
        ),
        stat(
            "Under minimum in sync",
            "Partitions that refuse acks=all right now: orders wait.",
            "sum(kafka_replicamanager_underminisrpartitioncount)",
            thresholds=ZERO_IS_GOOD,
        ),
        stat(
            "Unclean elections",
            "In the range shown. Each may have lost acknowledged records; the configuration forbids them.",
            "sum(increase(kafka_controller_uncleanleaderelections_total[$__range])) or vector(0)",
            thresholds=ZERO_IS_GOOD,
            decimals=0,
        ),
        stat(
            "Failed logins",
            "A second, over all brokers. A client with an old password, or somebody who tries.",
            "sum(rate(kafka_socketserver_failed_authentication_total[$__rate_interval]))",
            unit="ops",
            thresholds=((None, GOOD), (0.1, WARNING), (1, BAD)),
        ),
        stat(
            "Messages in",
            "Records a second, over all topics and brokers.",
            "sum(rate(kafka_broker_messagesin_total[$__rate_interval]))",
            unit="cps",
        ),
    ),
)

_TRAFFIC = Row(
    "Traffic",
    (
        chart(
            "Messages in, by topic",
            "Records a second. Result topics follow order_placed; a gap that grows is a service that lags.",
            "cps",
            (_rate("kafka_topic_messagesin_total", _TOPIC, "topic"), "{{topic}}"),
            width=12,
        ),
        chart(
            "Bytes in, by topic",
            "As written by producers: compressed, replication not counted.",
            "Bps",
            (_rate("kafka_topic_bytesin_total", _TOPIC, "topic"), "{{topic}}"),
            width=12,
        ),
        chart(
            "Bytes in, by broker",
            "A broker that takes much more than the others leads too many busy partitions.",
            "Bps",
            (_rate("kafka_broker_bytesin_total"), "{{instance}}"),
        ),
        chart(
            "Bytes out, by broker",
            "To consumers; replication is beside this.",
            "Bps",
            (_rate("kafka_broker_bytesout_total"), "{{instance}}"),
        ),
        chart(
            "Replication, by broker",
            "Fetched as a follower, given as a leader. It rises after a restart until the broker has caught up.",
            "Bps",
            (_rate("kafka_broker_replicationbytesin_total"), "{{instance}} in"),
            (_rate("kafka_broker_replicationbytesout_total"), "{{instance}} out"),
        ),
    ),
)

_REQUESTS = Row(
    "Requests",
    (
        chart(
            "99th percentile by request",
            "The slowest broker's. Fetches wait up to 500 ms for new records by design; JoinGroup for the members.",
            "ms",
            (f'max by (request) (kafka_request_totaltimems{{{_OWN}, quantile="0.99"}})', "{{request}}"),
            width=12,
        ),
        chart(
            "Produce: where its 99th percentile goes",
            "Request queue: too busy handlers. Local: the disk. Remote: the followers. Response queue: the network.",
            "ms",
            *(
                (f'max(kafka_request_{stage}timems{{{_OWN}, request="Produce", quantile="0.99"}})', legend)
                for stage, legend in (
                    ("requestqueue", "request queue"),
                    ("local", "local"),
                    ("remote", "remote"),
                    ("responsequeue", "response queue"),
                )
            ),
            width=12,
        ),
        chart(
            "Requests by kind",
            "A second. Many tiny fetches or metadata requests come from a client that is badly set up.",
            "reqps",
            (_rate("kafka_requests_total", _OWN, "request"), "{{request}}"),
        ),
        chart(
            "Errors by kind",
            "A second. NOT_LEADER_OR_FOLLOWER is usual while leaders move; TOPIC_AUTHORIZATION_FAILED: an ACL lacks.",
            "reqps",
            (
                _rate("kafka_request_errors_total", f'{_OWN}, error!="NONE"', "request, error") + " or vector(0)",
                "{{request}} {{error}}",
            ),
        ),
        chart(
            "Idle time of threads",
            "Under 20 % the broker is at its limit.",
            "percentunit",
            (f"kafka_request_handler_idle_ratio{{{_OWN}}}", "{{instance}} handlers"),
            (f"kafka_network_processor_idle_ratio{{{_OWN}}}", "{{instance}} network"),
            thresholds=((None, BAD), (0.2, WARNING), (0.4, GOOD)),
            maximum=1,
        ),
    ),
)

_REPLICATION = Row(
    "Replication",
    (
        chart(
            "In-sync replicas: shrinks and expands",
            "A second. A restart makes some of each; without one, a disk is slow, a pause long or the network bad.",
            "ops",
            (_rate("kafka_replicamanager_isrshrinks_total"), "{{instance}} shrinks"),
            (_rate("kafka_replicamanager_isrexpands_total"), "{{instance}} expands"),
        ),
        chart(
            "Partitions that lack replicas",
            "Counted by their leader.",
            "short",
            (_by_instance("kafka_replicamanager_underreplicatedpartitions"), "{{instance}} under-replicated"),
            (_by_instance("kafka_replicamanager_underminisrpartitioncount"), "{{instance}} under minimum"),
        ),
        chart(
            "Leaders, by broker",
            "Evenly spread when all is well; Kafka moves leaders back within five minutes of a restart.",
            "short",
            (_by_instance("kafka_replicamanager_leadercount"), "{{instance}}"),
            stacked=True,
        ),
    ),
)

_STORAGE = Row(
    "Storage and groups",
    (
        chart(
            "Log size, by topic",
            "What the broker that holds most of it holds. Retention should make it level off.",
            "bytes",
            (f"max by (topic) (sum by (instance, topic) (kafka_log_size_bytes{{{_TOPIC}}}))", "{{topic}}"),
        ),
        chart(
            "Log size, by broker",
            "All partitions; compare with the disks on the dashboard of the hosts.",
            "bytes",
            (_by_instance("kafka_log_size_bytes"), "{{instance}}"),
        ),
        chart(
            "Consumer groups, by state",
            "Groups that prepare a rebalance for long have a member that comes and goes.",
            "short",
            (f"sum(kafka_group_numgroupsstable{{{_OWN}}})", "stable"),
            (f"sum(kafka_group_numgroupspreparingrebalance{{{_OWN}}})", "rebalancing"),
            (f"sum(kafka_group_numgroupsempty{{{_OWN}}})", "without members"),
        ),
    ),
)

_CLIENTS = Row(
    "Clients and ZooKeeper",
    (
        chart(
            "Connections, by listener",
            "INTERNAL: brokers. OPERATORS: Control Center, monitoring, people. SERVICES: the shop.",
            "short",
            (f"sum by (listener) (kafka_socketserver_connections{{{_OWN}}})", "{{listener}}"),
        ),
        chart(
            "Failed logins, by listener",
            "A second.",
            "ops",
            (_rate("kafka_socketserver_failed_authentication_total", _OWN, "listener"), "{{listener}}"),
            thresholds=((None, GOOD), (1, BAD)),
        ),
        chart(
            "ZooKeeper as the brokers see it",
            "The 99th percentile of their requests' time.",
            "ms",
            (f'max by (instance) (kafka_zookeeper_request_latency_ms{{{_OWN}, quantile="0.99"}})', "{{instance}}"),
        ),
    ),
)

BOARD = Board(
    "shopstream-kafka",
    "Kafka",
    "The brokers: health, traffic, requests, replication, storage, clients, JVM.",
    (_HEALTH, _TRAFFIC, _REQUESTS, _REPLICATION, _STORAGE, _CLIENTS, jvm("kafka")),
    (
        Choice("instance", "Broker", 'label_values(up{job="kafka"}, instance)'),
        Choice("topic", "Topic", "label_values(kafka_log_size_bytes, topic)"),
    ),
)
