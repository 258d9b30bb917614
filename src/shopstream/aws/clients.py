"""Client properties files of a deployment's Kafka users, for any Kafka tool and for `shopstream` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws import secrets
from shopstream.cluster.home import write_private
from shopstream.errors import AwsError, DeploymentError, UsageError
from shopstream.settings import ClientSettings, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.topology import Topology

OPERATORS_PORT = 9093
SERVICES_PORT = 9094


def write(
    aws: Aws, deployment: Deployment, topology: Topology, outputs: Mapping[str, Any], folder: Path
) -> dict[str, Path]:
    """Write `USER.properties` for each user, and `ca.pem`, which all of them name. Nobody else may read them.

    Args:
        aws: Where the passwords are.
        deployment: Whose users.
        topology: Tells services from operators, who have a listener each.
        outputs: Terraform's outputs by name.
        folder: The directory; made when it is missing.

    Returns:
        Each user's file.

    Raises:
        DeploymentError: There are no brokers yet.
        AwsError: A secret cannot be read.
        UsageError: The outputs are another deployment's, or the directory cannot be written.
    """
    brokers = outputs.get("kafka_private_ips")
    if not brokers:
        raise DeploymentError("Terraform's outputs name no broker: bring the deployment up with scripts/deploy_all.sh")
    if outputs.get("deployment", deployment.name) != deployment.name:
        raise UsageError(f"these are the outputs of {outputs['deployment']}: say --name {outputs['deployment']}")
    certificate = _value(aws, deployment.ca_secret, "certificate")
    ca = folder.absolute() / "ca.pem"
    texts = {}
    for user in deployment.users:
        port = SERVICES_PORT if user in topology.services else OPERATORS_PORT
        texts[user] = ClientSettings(
            bootstrap_servers=",".join(f"{address}:{port}" for address in brokers),
            username=user,
            password=Secret(_value(aws, deployment.user_secret(user), "password")),
            ca=ca,
            group_protocol="classic",  # Kafka 3.9 has the other one as a preview only
        ).to_properties()
    files = {user: ca.with_name(f"{user}.properties") for user in texts}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(ca, certificate)
        for user, text in texts.items():
            write_private(files[user], text)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}): name another directory") from error
    return files


def _value(aws: Aws, name: str, key: str) -> str:
    value = (secrets.read_json(aws, name) or {}).get(key)
    if not value:
        raise AwsError(f"the secret {name} is missing, or has no {key}: scripts/deploy_all.sh makes it")
    return value
