"""The dashboard of the ensemble."""

from __future__ import annotations

from scripts.dashboards.model import BAD, GOOD, ONE_IS_GOOD, WARNING, Board, Choice, Row, chart, jvm, stat

_OWN = 'instance=~"$instance"'

_HEALTH = Row(
    "Is it well?",
    (
        stat(
            "Members that serve",
            "Leader or followers: a member without a quorum answers, but is neither. Two of three are needed.",
            "count(zookeeper_connections) or vector(0)",
            thresholds=((None, BAD), (2, WARNING), (3, GOOD)),
            width=4,
        ),
        stat(
            "Ensemble's size",
            "How many members the configuration names; more than half of them make a quorum.",
            "max(zookeeper_quorum_size)",
            width=4,
        ),
        stat(
            "Leaders",
            "Exactly one.",
            'count(zookeeper_connections{part="Leader"}) or vector(0)',
            thresholds=ONE_IS_GOOD,
            width=4,
        ),
        stat(
            "Requests that wait",
            "Over all members. More than a few for minutes: the disk is slow.",
            "sum(zookeeper_outstandingrequests)",
            thresholds=((None, GOOD), (10, WARNING), (50, BAD)),
            width=4,
        ),
        stat(
            "Nodes",
            "The same on every member: the tree is replicated.",
            "max(zookeeper_nodecount)",
            width=4,
        ),
        stat(
            "Slow fsyncs",
            "In the range shown: writes of the transaction log that took more than a second.",
            "sum(increase(zookeeper_slow_fsyncs_total[$__range])) or vector(0)",
            thresholds=((None, GOOD), (1, WARNING), (20, BAD)),
            width=4,
            decimals=0,
        ),
    ),
)

_REQUESTS = Row(
    "Requests",
    (
        chart(
            "Average latency",
            "Since the member became what it is: it moves slowly. A step is worth a look.",
            "ms",
            (f"max by (instance) (zookeeper_avgrequestlatency{{{_OWN}}})", "{{instance}}"),
        ),
        chart(
            "Longest request",
            "Since the member became what it is.",
            "ms",
            (f"max by (instance) (zookeeper_maxrequestlatency{{{_OWN}}})", "{{instance}}"),
        ),
        chart(
            "Requests that wait",
            "Taken, not yet answered.",
            "short",
            (f"max by (instance) (zookeeper_outstandingrequests{{{_OWN}}})", "{{instance}}"),
            thresholds=((None, GOOD), (10, WARNING), (50, BAD)),
        ),
        chart(
            "Packets",
            "A second; mostly the heartbeats of the brokers' sessions.",
            "pps",
            (
                f"sum by (instance) (rate(zookeeper_packets_received_total{{{_OWN}}}[$__rate_interval]))",
                "{{instance}} in",
            ),
            (f"sum by (instance) (rate(zookeeper_packets_sent_total{{{_OWN}}}[$__rate_interval]))", "{{instance}} out"),
        ),
        chart(
            "Connections",
            "The brokers', and those of tools while they run. They spread over the members at random.",
            "short",
            (f"max by (instance) (zookeeper_connections{{{_OWN}}})", "{{instance}}"),
        ),
        chart(
            "Sessions lost, as the brokers see it",
            "In five minutes. A broker whose session ends leaves the cluster for a moment.",
            "short",
            ("sum by (instance) (increase(kafka_session_zookeeperexpires_total[5m]))", "{{instance}} expired"),
            ("sum by (instance) (increase(kafka_session_zookeeperdisconnects_total[5m]))", "{{instance}} disconnected"),
        ),
    ),
)

_TREE = Row(
    "The tree and the disk",
    (
        chart(
            "Nodes",
            "Grows with topics, partitions, users and ACLs. Without end: somebody forgets to delete.",
            "short",
            (f"max by (instance) (zookeeper_nodecount{{{_OWN}}})", "{{instance}}"),
        ),
        chart(
            "Watches",
            "What clients wait for, at the member that they are connected to.",
            "short",
            (f"max by (instance) (zookeeper_watchcount{{{_OWN}}})", "{{instance}}"),
        ),
        chart(
            "On disk",
            "Snapshots and transaction logs; purging keeps the last three of each.",
            "bytes",
            (f"max by (instance) (zookeeper_datadirsize_bytes{{{_OWN}}})", "{{instance}}"),
        ),
    ),
)

BOARD = Board(
    "shopstream-zookeeper",
    "ZooKeeper",
    "The ensemble: quorum, requests, the tree, JVM.",
    (_HEALTH, _REQUESTS, _TREE, jvm("zookeeper")),
    (Choice("instance", "Member", 'label_values(up{job="zookeeper"}, instance)'),),
)
