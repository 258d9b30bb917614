"""A broker's server.properties, from data alone. It holds no secret: keys are named by their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shopstream.cluster import certificates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shopstream.cluster.home import Home
    from shopstream.cluster.layout import Layout, Node

_MIB = 1 << 20
_LISTENERS = {"CLIENT": "SASL_SSL", "INTERNAL": "SSL", "CONTROLLER": "SSL"}


def server_properties(
    home: Home, layout: Layout, node: Node, *, superusers: Iterable[str], largest_message: int
) -> dict[str, str]:
    """The whole configuration of one broker.

    Args:
        home: Where certificates and data lie.
        layout: The whole cluster.
        node: The broker that this is for.
        superusers: SCRAM users that may do everything.
        largest_message: The largest `max.message.bytes` of any topic, in bytes.
    """
    brokers = len(layout.nodes)
    return {
        **_identity(home, layout, node),
        **_security(home, layout, node, superusers),
        **_replication(brokers),
        **_limits(largest_message),
        **_LOCAL_SPEED,
    }


def render(properties: dict[str, str]) -> str:
    """As a properties file."""
    return "".join(f"{key}={value}\n".replace("\\", "\\\\") for key, value in properties.items())


def _identity(home: Home, layout: Layout, node: Node) -> dict[str, str]:
    ports = {"CLIENT": node.client_port, "INTERNAL": node.internal_port, "CONTROLLER": node.controller_port}
    listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(f"{n.id}@127.0.0.1:{n.controller_port}" for n in layout.nodes),
        "log.dirs": str(home.broker(node.id) / "data"),
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": f"{listeners['CLIENT']},{listeners['INTERNAL']}",
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in _LISTENERS.items()),
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
    }


def _security(home: Home, layout: Layout, node: Node, superusers: Iterable[str]) -> dict[str, str]:
    brokers = [certificates.principal(other.id) for other in layout.nodes]
    return {
        # Brokers and controllers know each other by certificate; people and services by password.
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.keystore(home.tls, node.id)),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(home.ca),
        "listener.name.internal.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.client.ssl.client.auth": "none",
        "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": ";".join(f"User:{name}" for name in (*brokers, *superusers)),
        "auto.create.topics.enable": "false",
    }


def _replication(brokers: int) -> dict[str, str]:
    copies, in_sync, partitions = str(brokers), str(2 if brokers > 1 else 1), str(2 * brokers)
    return {
        # How long a killed broker is missed before others lead its partitions, and before it may register again.
        "broker.session.timeout.ms": "3000",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "unclean.leader.election.enable": "false",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": partitions,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": partitions,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": partitions,
    }


def _limits(largest_message: int) -> dict[str, str]:
    return {
        "message.max.bytes": str(largest_message),
        "replica.fetch.max.bytes": str(max(largest_message, _MIB)),
        # A transaction that no one ends is aborted by the broker; until then it holds back every reader behind it.
        "transaction.max.timeout.ms": "900000",
        "log.segment.bytes": str(256 * _MIB),
        "offsets.topic.segment.bytes": str(16 * _MIB),
        "log.retention.hours": "168",
        # Two cores are the rule on a laptop; the cleaner's default buffer alone is 128 MiB.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "num.recovery.threads.per.data.dir": "2",
        "background.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * _MIB),
    }


_LOCAL_SPEED = {
    # On loopback nothing is far away: what waits for stragglers by default need not.
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.session.timeout.ms": "3000",
    "controller.quorum.election.timeout.ms": "300",
    "controller.quorum.election.backoff.max.ms": "300",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}
