"""Brings a cluster's topics, users and ACLs to what the topology declares.

It works on any Kafka 3.9 or 4.x that can be reached with an administrator's credential, local or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import confluent_kafka.admin
from confluent_kafka import KafkaException, TopicPartition

from shopstream.cluster.plan import ClusterState, Plan, Surplus, TopicState, compare, wanted
from shopstream.errors import ClusterError
from shopstream.topology import Acl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from concurrent.futures import Future

    from shopstream.settings import Secret
    from shopstream.topology import Topology

T = TypeVar("T")

# The library declares these types in part only: what it says of them contradicts its own documentation.
kafka: Any = confluent_kafka.admin

_TIMEOUT_S = 20.0
_SCRAM_ITERATIONS = 4096  # Kafka's least: the passwords are long and random, more would only slow each login down
_RESOURCES = {
    "topic": kafka.ResourceType.TOPIC,
    "group": kafka.ResourceType.GROUP,
    "transactional_id": kafka.ResourceType.TRANSACTIONAL_ID,
    "cluster": kafka.ResourceType.BROKER,  # librdkafka's name for the number that stands for the cluster in ACLs
}
_PATTERNS = {"literal": kafka.ResourcePatternType.LITERAL, "prefixed": kafka.ResourcePatternType.PREFIXED}


@dataclass(frozen=True)
class Converged:
    """What was done.

    Attributes:
        plan: What differed, surplus included.
        pruned: Whether the surplus was removed.
    """

    plan: Plan
    pruned: bool

    @property
    def left(self) -> Surplus:
        """What nobody declares and is still there."""
        return Surplus() if self.pruned else self.plan.surplus


class Admin:
    """An administrator's connection to a cluster.

    Args:
        config: librdkafka's configuration, as `ClientSettings.to_librdkafka` gives it.
    """

    def __init__(self, config: Mapping[str, str | int | float | bool]) -> None:
        quick = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "log_level": 0}
        self._client = kafka.AdminClient({**quick, **config})

    def converge(
        self,
        topology: Topology,
        passwords: Mapping[str, Secret],
        *,
        renew: Collection[str] = (),
        brokers: int | None = None,
        keep: Collection[str] = (),
        prune: bool = False,
    ) -> Converged:
        """Make the cluster have what the topology declares. Doing it again changes nothing.

        Args:
            topology: What shall be.
            passwords: For each user that may have to be created.
            renew: Users whose password is set even if they are there.
            brokers: How many brokers the cluster has when all are up; by default those that are up now.
            keep: Users that are no surplus although the topology does not declare them.
            prune: Whether to remove what the topology does not declare. Kafka's own topics always stay.

        Raises:
            ClusterError: The cluster refuses, or a topic that holds data would need another shape.
        """
        have, up = self.read()
        plan = compare(wanted(topology, brokers or up), have, keep=keep)
        self._refuse_to_reshape_data(plan, have)
        self._apply(plan, {user: passwords[user] for user in {*plan.users, *renew}})
        if prune:
            self._remove(plan.surplus)
        return Converged(plan, prune)

    def read(self) -> tuple[ClusterState, int]:
        """What the cluster has, Kafka's own topics left out, and how many brokers are up.

        Raises:
            ClusterError: The cluster does not answer, or refuses to.
        """
        users = self._client.describe_user_scram_credentials(request_timeout=_TIMEOUT_S)
        acls = self._client.describe_acls(_any_acl(), request_timeout=_TIMEOUT_S)
        metadata = _answer("list its topics", partial(self._client.list_topics, timeout=_TIMEOUT_S))
        names = [name for name in metadata.topics if not name.startswith("__")]
        resources = [kafka.ConfigResource(kafka.ConfigResource.Type.TOPIC, name) for name in names]
        configs = self._client.describe_configs(resources, request_timeout=_TIMEOUT_S) if resources else {}
        topics = {}
        for resource, future in configs.items():
            partitions = metadata.topics[resource.name].partitions
            replication = max((len(partition.replicas) for partition in partitions.values()), default=0)
            config = _own_settings(_result("describe its topics", future))
            topics[resource.name] = TopicState(len(partitions), replication, config)
        found = (_from_binding(binding) for binding in _result("describe its ACLs", acls))
        state = ClusterState(
            topics, frozenset(_result("describe its users", users)), frozenset(acl for acl in found if acl)
        )
        return state, len(metadata.brokers)

    def _set_passwords(self, passwords: Mapping[str, Secret]) -> None:
        info = kafka.ScramCredentialInfo(kafka.ScramMechanism.SCRAM_SHA_512, _SCRAM_ITERATIONS)
        self._alter_users(
            [
                kafka.UserScramCredentialUpsertion(user, info, password.reveal().encode())
                for user, password in passwords.items()
            ]
        )

    def _apply(self, plan: Plan, passwords: Mapping[str, Secret]) -> None:
        if plan.reshape:
            _all("delete", self._client.delete_topics(list(plan.reshape), operation_timeout=_TIMEOUT_S))
        pending = []
        if new := {**plan.create, **plan.reshape}:
            topics = [kafka.NewTopic(n, t.partitions, t.replication, config=dict(t.config)) for n, t in new.items()]
            pending.append(("create", self._client.create_topics(topics, operation_timeout=_TIMEOUT_S)))
        if plan.configure:
            resources = [_alteration(name, changes) for name, changes in plan.configure.items()]
            pending.append(("configure", self._client.incremental_alter_configs(resources, request_timeout=_TIMEOUT_S)))
        if plan.grant:
            bindings = [_to_binding(kafka.AclBinding, acl) for acl in plan.grant]
            pending.append(("grant", self._client.create_acls(bindings, request_timeout=_TIMEOUT_S)))
        self._set_passwords(passwords)
        for what, futures in pending:
            _all(what, futures)

    def _remove(self, surplus: Surplus) -> None:
        if surplus.acls:
            filters = [_to_binding(kafka.AclBindingFilter, acl) for acl in surplus.acls]
            _all("withdraw", self._client.delete_acls(filters, request_timeout=_TIMEOUT_S))
        mechanism = kafka.ScramMechanism.SCRAM_SHA_512
        self._alter_users([kafka.UserScramCredentialDeletion(user, mechanism) for user in surplus.users])
        if surplus.topics:
            _all("delete", self._client.delete_topics(list(surplus.topics), operation_timeout=_TIMEOUT_S))

    def _alter_users(self, alterations: list[Any]) -> None:
        if alterations:
            futures = self._client.alter_user_scram_credentials(alterations, request_timeout=_TIMEOUT_S)
            _all("change the password of", futures)

    def _refuse_to_reshape_data(self, plan: Plan, have: ClusterState) -> None:
        for name, new in plan.reshape.items():
            old = have.topics[name]
            if records := self._records(name, old.partitions):
                raise ClusterError(
                    f"topic {name} has {old.partitions} partitions with {old.replication} copies each and holds "
                    f"{records} records; the topology now says {new.partitions} with {new.replication}. With another "
                    "number of partitions the records of one order would lie in two of them. Take the change back, or "
                    "start afresh: `shopstream down --wipe` deletes all data of the local cluster"
                )

    def _records(self, topic: str, partitions: int) -> int:
        def total(spec: Any) -> int:
            request = {TopicPartition(topic, partition): spec for partition in range(partitions)}
            answers = self._client.list_offsets(request, request_timeout=_TIMEOUT_S)
            return sum(_result(f"tell the offsets of {topic}", future).offset for future in answers.values())

        return total(kafka.OffsetSpec.latest()) - total(kafka.OffsetSpec.earliest())


def _answer(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except KafkaException as error:
        raise ClusterError(f"the cluster did not {what}: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise ClusterError(f"the cluster did not {what} within {_TIMEOUT_S:.0f} s") from error


def _result(what: str, future: Future[Any]) -> Any:
    return _answer(what, partial(future.result, timeout=_TIMEOUT_S))


def _all(what: str, futures: Mapping[Any, Future[Any]]) -> None:
    for thing, future in futures.items():
        _result(f"{what} {thing}", future)


def _own_settings(entries: Mapping[str, Any]) -> dict[str, str]:
    own = kafka.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: str(entry.value) for name, entry in entries.items() if entry.source == own}


def _alteration(topic: str, changes: Mapping[str, str | None]) -> Any:
    kinds = kafka.AlterConfigOpType
    entries = [
        kafka.ConfigEntry(key, value, incremental_operation=kinds.DELETE if value is None else kinds.SET)
        for key, value in changes.items()
    ]
    return kafka.ConfigResource(kafka.ConfigResource.Type.TOPIC, topic, incremental_configs=entries)


def _any_acl() -> Any:
    return kafka.AclBindingFilter(
        kafka.ResourceType.ANY,
        None,
        kafka.ResourcePatternType.ANY,
        None,
        None,
        kafka.AclOperation.ANY,
        kafka.AclPermissionType.ANY,
    )


def _to_binding(kind: Any, acl: Acl) -> Any:
    return kind(
        _RESOURCES[acl.resource],
        "kafka-cluster" if acl.resource == "cluster" else acl.name,
        _PATTERNS[acl.pattern],
        f"User:{acl.user}",
        "*",
        kafka.AclOperation[acl.operation.upper()],
        kafka.AclPermissionType.ALLOW,
    )


def _from_binding(binding: Any) -> Acl | None:
    """As the topology would say it; None for what it has no words for (denials, single hosts), which is left alone."""
    resource = next((name for name, kind in _RESOURCES.items() if kind is binding.restype), None)
    pattern = next((name for name, kind in _PATTERNS.items() if kind is binding.resource_pattern_type), None)
    allowed = binding.permission_type is kafka.AclPermissionType.ALLOW and binding.host == "*"
    if not allowed or resource is None or pattern is None:
        return None
    user = binding.principal.removeprefix("User:")
    return Acl(user, resource, binding.name, pattern, binding.operation.name.lower())  # type: ignore[arg-type] # the names of the tables above
