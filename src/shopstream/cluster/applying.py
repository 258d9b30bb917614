"""Brings any cluster to what the topology declares: topics, users with their passwords, ACLs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from shopstream.cluster.admin import Admin
from shopstream.cluster.credentials import Logins, refused
from shopstream.cluster.plan import Plan, Surplus, compare, wanted
from shopstream.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shopstream.settings import ClientSettings, Secret
    from shopstream.topology import Topology

_WITHIN_S = 30.0
_HEARS_WITHIN_S = 5.0
_POLL_S = 0.5


@dataclass(frozen=True)
class Applied:
    """What differed, and so was changed, or would be.

    Attributes:
        plan: What differed, surplus included.
        renewed: Users whose password was another one.
        pruned: Whether the surplus belongs to what is changed.
    """

    plan: Plan
    renewed: tuple[str, ...]
    pruned: bool

    @property
    def removed(self) -> Surplus:
        """What nobody declares, and is removed."""
        return self.plan.surplus if self.pruned else Surplus()

    @property
    def surplus(self) -> Surplus:
        """What nobody declares, and stays."""
        return Surplus() if self.pruned else self.plan.surplus

    @property
    def changed(self) -> bool:
        """Whether anything is changed."""
        return replace(self.plan, surplus=Surplus()) != Plan() or bool(self.renewed or self.removed)

    def to_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "changed": self.changed,
            "created_topics": sorted(self.plan.create),
            "configured_topics": {name: dict(changes) for name, changes in sorted(self.plan.configure.items())},
            "reshaped_topics": sorted(self.plan.reshape),
            "created_users": list(self.plan.users),
            "renewed_users": list(self.renewed),
            "granted_acls": [asdict(acl) for acl in self.plan.grant],
            "removed": _surplus_data(self.removed),
            "surplus": _surplus_data(self.surplus),
        }


def apply(
    settings: ClientSettings,
    topology: Topology,
    passwords: Mapping[str, Secret],
    *,
    brokers: int | None = None,
    keep: Collection[str] = (),
    prune: bool = False,
    check: bool = False,
) -> Applied:
    """Make a cluster have what the topology declares. Doing it again changes nothing.

    A user that is there keeps its password, unless the cluster refuses the one that is given here: then this one is
    set. Afterwards every changed user can log in at every broker.

    Args:
        settings: How to connect as an administrator.
        topology: What shall be.
        passwords: Of the users that may have to be created or renewed; a user that is there needs none.
        brokers: How many brokers the cluster has; by default as many as the topology wants copies of a topic.
        keep: Users that are no surplus although the topology does not declare them.
        prune: Whether to remove what the topology does not declare.
        check: Whether to change nothing, and only say what would be changed.

    Raises:
        UsageError: A password for nobody, or none for a user that is missing.
        ClusterError: The cluster refuses, or cannot become what is declared.
    """
    if not settings.security_protocol.startswith("SASL"):
        raise UsageError(
            f"the cluster's client properties say {settings.security_protocol}: to try the users' passwords a listener "
            "with SASL is needed; name its port"
        )
    _check_users(topology, passwords, keep)
    _log_in(settings)
    admin = Admin(settings.to_librdkafka())
    have, up = admin.read()
    copies = brokers or max(topic.replication for topic in topology.topics.values())
    plan = compare(wanted(topology, copies), have, keep=keep)
    _check_possible(plan, up, copies, passwords)
    known = [
        _as_user(settings, user, passwords[user]) for user in topology.users if user in have.users & set(passwords)
    ]
    renewed = tuple(sorted(refused(known, time.monotonic() + _WITHIN_S)))
    if check:
        return Applied(plan, renewed, prune)
    done = admin.converge(topology, passwords, renew=renewed, brokers=copies, keep=keep, prune=prune)
    changed = sorted({*done.plan.users, *renewed})
    with Logins(time.monotonic() + _WITHIN_S) as logins:
        logins.start_everywhere(_as_user(settings, user, passwords[user]) for user in changed)
        logins.wait()
    return Applied(done.plan, renewed, prune)


def _log_in(settings: ClientSettings) -> None:
    """See that the administrator can log in: a broker may take a moment to hear of a password that is new."""
    deadline = time.monotonic() + _HEARS_WITHIN_S
    while refused([settings], time.monotonic() + _WITHIN_S):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the cluster at {settings.bootstrap_servers} does not take the password of {settings.username}: say "
                "the right one in its client properties file"
            )
        time.sleep(_POLL_S)


def _check_users(topology: Topology, passwords: Mapping[str, Secret], keep: Collection[str]) -> None:
    if strangers := sorted(passwords.keys() - set(topology.users) - set(keep)):
        raise UsageError(
            f"there is a password of {', '.join(strangers)}, and the topology has no such user: leave it out"
        )
    if both := sorted(set(keep) & set(topology.users)):
        raise UsageError(f"{', '.join(both)}: kept as a stranger, and declared by the topology: say one of the two")


def _check_possible(plan: Plan, up: int, copies: int, passwords: Mapping[str, Secret]) -> None:
    if lacking := [user for user in plan.users if user not in passwords]:
        raise UsageError(f"{', '.join(lacking)} must be created: say the password of each")
    if (plan.create or plan.reshape) and up < copies:
        count = len(plan.create) + len(plan.reshape)
        raise ClusterError(
            f"{up} of {copies} brokers are up, and {count} topics must be made: start the others, or say how many "
            f"there are in all (--brokers {up})"
        )


def _as_user(settings: ClientSettings, user: str, password: Secret) -> ClientSettings:
    return replace(settings.with_user(user, password), sasl_mechanism="SCRAM-SHA-512")


def _surplus_data(surplus: Surplus) -> dict[str, Any]:
    return {
        "topics": list(surplus.topics),
        "users": list(surplus.users),
        "acls": [asdict(acl) for acl in surplus.acls],
    }
