"""What belongs to a deployment. Everything that is listed, changed or deleted is judged here first.

Two tags decide: `Project = shopstream` and `Deployment = NAME`. A name decides only for what AWS makes without tags
(a log group that a function writes itself, an event source mapping whose function has gone) or cannot tag (a
dashboard), and then only a name that this deployment uses, in full. A prefix would take in the neighbour: `shop` and
`shop-two` are two deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shopstream.topology import Topology

PROJECT = "shopstream"
MANAGED_BY = "deploy-script"
"""`ManagedBy` of what the scripts make themselves. Terraform's own things say `terraform`."""

ACCOUNTS = MappingProxyType(
    {
        "broker": "broker",
        "zookeeper_quorum": "quorum",
        "zookeeper_client": "kafka",
        "control_center_web": "admin",
        "grafana_admin": "admin",
    }
)
"""The accounts that the hosts have among each other and for their consoles, and the user name of each.

They are no users of the topology: brokers log in to each other as `broker`, a superuser; ZooKeeper's members to each
other; brokers to ZooKeeper; a person to Control Center and to Grafana. infra/terraform/secrets.tf has the same list.
"""


@dataclass(frozen=True)
class Deployment:
    """One deployment in one account and region, and the names that it uses.

    Attributes:
        name: Terraform's `var.name`.
        account: The AWS account's number.
        region: For example us-east-1.
        services: The topology's services; each is a function.
        users: The topology's Kafka users; each has a secret.
        state_topics: Topics of joins whose state is a table on AWS.
    """

    name: str
    account: str
    region: str
    services: tuple[str, ...]
    users: tuple[str, ...]
    state_topics: tuple[str, ...]

    @classmethod
    def of(cls, topology: Topology, *, name: str, account: str, region: str) -> Deployment:
        """The deployment of a topology.

        Raises:
            UsageError: The topology has a user that the hosts need for themselves.
        """
        if taken := set(topology.users) & ACCOUNTS.keys():
            raise UsageError(
                f"the topology has a user {min(taken)!r}, and the hosts have an account of that name: rename the user"
            )
        states = tuple(service.state for service in topology.services.values() if service.state)
        return cls(name, account, region, tuple(topology.services), topology.users, states)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of what the scripts make themselves."""
        return {"Project": PROJECT, "Deployment": self.name, "ManagedBy": MANAGED_BY}

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """The same as most of AWS's interfaces want it."""
        return [{"Key": key, "Value": value} for key, value in self.tags.items()]

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions' names."""
        return tuple(self.function(service) for service in self.services)

    def function(self, service: str) -> str:
        """A service's function."""
        return f"{self.name}-{service}"

    @property
    def lambdas_group(self) -> str:
        """The security group of the functions and their pollers."""
        return f"{self.name}-lambdas"

    @property
    def log_groups(self) -> tuple[str, ...]:
        """The functions' log groups, by the names that Lambda itself would give them."""
        return tuple(f"/aws/lambda/{function}" for function in self.functions)

    @property
    def bucket(self) -> str:
        """The bucket for the zips."""
        return f"{self.name}-artifacts-{self.account}"

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables for the state of joins."""
        return tuple(f"{self.name}-{topic}" for topic in self.state_topics)

    def user_secret(self, user: str) -> str:
        """The secret with a Kafka user's name and password."""
        return f"{self.name}/kafka/{user}"

    @property
    def accounts(self) -> tuple[str, ...]:
        """The hosts' own accounts; each has a secret."""
        return tuple(ACCOUNTS)

    def account_secret(self, account: str) -> str:
        """The secret with the user name and password of one of the hosts' own accounts."""
        return f"{self.name}/hosts/{account}"

    @property
    def logins(self) -> dict[str, str]:
        """Everything that has a password, Kafka users and hosts' accounts: the name of its secret."""
        users = {user: self.user_secret(user) for user in self.users}
        return {**users, **{account: self.account_secret(account) for account in self.accounts}}

    @property
    def ca_secret(self) -> str:
        """The secret with the certificate that every client trusts."""
        return f"{self.name}/kafka-ca"

    @property
    def ca_key_secret(self) -> str:
        """The secret with the authority's private key, which Terraform never sees."""
        return f"{self.name}/kafka-ca-key"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret."""
        return (*self.logins.values(), self.ca_secret, self.ca_key_secret)

    def owns(self, tags: Any) -> bool:
        """Whether these tags are this deployment's, in any of the shapes in which AWS gives tags."""
        found = read_tags(tags)
        return found.get("Project") == PROJECT and found.get("Deployment") == self.name

    def may_own(self, tags: Any, name: str, names: Iterable[str]) -> bool:
        """The same for what AWS may have made without tags: then the name must be one of `names`."""
        found = read_tags(tags)
        if "Project" in found or "Deployment" in found:
            return self.owns(found)
        return name in names


def read_tags(tags: Any) -> dict[str, str]:
    """Tags as a mapping: AWS has lists of Key and Value, of TagKey and TagValue, and plain mappings."""
    if not tags:
        return {}
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {
        str(tag.get("Key", tag.get("key", tag.get("TagKey")))): str(
            tag.get("Value", tag.get("value", tag.get("TagValue", "")))
        )
        for tag in tags
    }
