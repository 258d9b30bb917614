"""The shop's services as Lambda functions of a local account: what Terraform sets up at AWS, for any Kafka cluster.

Names, variables and mappings are those of infra/terraform, and the code is that of the zips, as they are.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError
from shopstream.lambdas.model import FunctionConfig, MappingConfig
from shopstream.settings import for_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shopstream.settings import ClientSettings
    from shopstream.topology import Service, Topology

NAME = "shopstream"
"""The deployment's name, Terraform's `name`: functions, secrets and tables begin with it."""

_TIMEOUT = 60  # seconds, as in infra/terraform/variables.tf
_MEMORY = 512  # MB, likewise


@dataclass(frozen=True)
class LambdaShop:
    """Functions and what feeds them.

    Attributes:
        functions: One for each service.
        mappings: One for each topic that a service consumes.
        service_of: The service behind a function's name.
    """

    functions: tuple[FunctionConfig, ...]
    mappings: tuple[MappingConfig, ...]
    service_of: dict[str, str]


def zip_of(zips: Path, service: str) -> Path:
    """Where a service's zip lies, as scripts/build_all_zips.sh puts it.

    Raises:
        UsageError: It is not there.
    """
    path = zips / f"{service}.zip"
    if not path.is_file():
        raise UsageError(f"{path} is missing: build the functions' zips with scripts/build_all_zips.sh")
    return path


def function_name(service: str) -> str:
    """A service's function."""
    return f"{NAME}-{service}"


def set_up(
    topology: Topology, cluster: Path, zips: Path, client: Callable[[str], Any], *, seed: int | None = None
) -> LambdaShop:
    """Put secrets and tables into an account, and say which functions and mappings go with them.

    Args:
        topology: The shop.
        cluster: A client properties file of the cluster; each service's own lies beside it.
        zips: Where the zips are.
        client: Makes boto3's client for a service of the account.
        seed: The run's seed; None for the topology's.

    Raises:
        UsageError: A zip is missing, or the cluster is none that AWS could reach: it needs TLS, SCRAM and a
            certificate authority by name.
    """
    users = {service.name: _usable(for_user(cluster, service.name)) for service in topology.services.values()}
    secrets = client("secretsmanager")
    arns = {
        user: _secret(secrets, f"{NAME}/kafka/{user}", username=known.username, password=_revealed(known))
        for user, known in users.items()
    }
    authority = _secret(secrets, f"{NAME}/kafka-ca", certificate=_authority(next(iter(users.values()))))
    for service in topology.services.values():
        if service.state:
            _table(client("dynamodb"), f"{NAME}-{service.state}")

    def function(service: Service) -> FunctionConfig:
        known = {
            "KAFKA_BOOTSTRAP_SERVERS": users[service.name].bootstrap_servers,
            "KAFKA_USER_SECRET_ARN": arns[service.name],
            "KAFKA_CA_SECRET_ARN": authority,
            "METRICS_NAMESPACE": NAME,
            **({"STATE_TABLE": f"{NAME}-{service.state}"} if service.state else {}),
            **({"SEED": str(seed)} if seed is not None else {}),
        }
        return FunctionConfig(
            name=function_name(service.name),
            code=zip_of(zips, service.name),
            handler=service.lambda_handler,
            timeout=_TIMEOUT,
            memory_size=_MEMORY,
            environment=MappingProxyType(known),
        )

    mappings = [
        MappingConfig(
            # The same each time, so that logs of two runs can be laid side by side.
            uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}/{event_source.group}")),
            function=function_name(service.name),
            topic=event_source.topic,
            group=event_source.group,
            bootstrap_servers=tuple(users[service.name].bootstrap_servers.split(",")),
            auth_secret=arns[service.name],
            ca_secret=authority,
        )
        for service in topology.services.values()
        for event_source in service.event_sources
    ]
    services = topology.services.values()
    return LambdaShop(
        tuple(function(service) for service in services),
        tuple(mappings),
        {function_name(service.name): service.name for service in services},
    )


def _usable(known: ClientSettings) -> ClientSettings:
    if (known.security_protocol, known.sasl_mechanism) != ("SASL_SSL", "SCRAM-SHA-512") or known.ca is None:
        raise UsageError(
            f"the cluster is reached with {known.security_protocol} and {known.sasl_mechanism}, and its certificate "
            f"authority is {known.ca or 'not named'}: the functions need SASL_SSL, SCRAM-SHA-512 and a PEM file with "
            "the authority (ssl.truststore.location), as they have on AWS"
        )
    return known


def _authority(known: ClientSettings) -> str:
    return known.ca.read_text(encoding="utf-8") if known.ca else ""


def _revealed(known: ClientSettings) -> str:
    return known.password.reveal() if known.password else ""


def _secret(client: Any, name: str, **content: str | None) -> str:
    return str(client.create_secret(Name=name, SecretString=json.dumps(content))["ARN"])


def _table(client: Any, name: str) -> None:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
