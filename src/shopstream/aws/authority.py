"""The certificate authority of a deployment's brokers.

Its key is made once, here, and kept in Secrets Manager beside its certificate, outside Terraform, whose state would
otherwise hold it. The certificate is no secret: Terraform puts it where functions and pollers find it. Ansible takes
the key to sign the brokers' certificates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shopstream.aws import secrets
from shopstream.aws.account import code_of
from shopstream.cluster.certificates import RENEWAL, authority_certificate, new_key
from shopstream.errors import AwsError, DeploymentError
from shopstream.settings import Secret

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment


@dataclass(frozen=True)
class Authority:
    """The authority of a deployment.

    Attributes:
        certificate: Its certificate (PEM), which is public.
        key: Its private key (PEM).
        kept: `yes`, or what `keep` must still do: `create` the secret or `renew` its certificate.
    """

    certificate: str
    key: Secret
    kept: str


def find_or_make(aws: Aws, deployment: Deployment, now: datetime) -> Authority:
    """The authority that is there, or a new one; nothing is written yet.

    A certificate with less than a month left is renewed with the same key, so that what it has signed stays valid.

    Args:
        aws: The account.
        deployment: Whose authority.
        now: The time, with its zone.

    Raises:
        DeploymentError: A secret of that name belongs to somebody else, or is scheduled for deletion.
        AwsError: It cannot be read.
    """
    name = deployment.ca_key_secret
    known = secrets.describe_own(aws, deployment, name)
    if known is None:
        key = new_key()
        return Authority(_sign(deployment, key, now), Secret(key), "create")
    if known.get("DeletedDate"):
        raise DeploymentError(
            f"the secret {name}, the key of the brokers' authority, is scheduled for deletion: take that back "
            f"(`aws secretsmanager restore-secret --secret-id {name}`), or complete it "
            f"(`aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name}`) for a new one"
        )
    value = secrets.read_json(aws, name) or {}
    if not value.get("private_key"):
        raise AwsError(f"the secret {name} holds no private_key: delete it, and deploy again for a new authority")
    certificate = value.get("certificate")
    if certificate and _time_left(certificate, now) > RENEWAL:
        return Authority(certificate, Secret(value["private_key"]), "yes")
    return Authority(_sign(deployment, value["private_key"], now), Secret(value["private_key"]), "renew")


def keep(aws: Aws, deployment: Deployment, authority: Authority) -> None:
    """Write an authority that is new or renewed.

    Raises:
        AwsError: Secrets Manager refuses.
    """
    client, name = aws.client("secretsmanager"), deployment.ca_key_secret
    text = json.dumps({"private_key": authority.key.reveal(), "certificate": authority.certificate})
    try:
        if authority.kept == "create":
            client.create_secret(
                Name=name,
                Description="The private key of the authority that signs the Kafka brokers' certificates",
                SecretString=text,
                Tags=deployment.tag_list,
            )
        elif authority.kept == "renew":
            client.put_secret_value(SecretId=name, SecretString=text)
    except ClientError as error:
        raise AwsError(f"the secret {name} cannot be written ({code_of(error)}): {error}") from error


def remove(aws: Aws, deployment: Deployment) -> bool:
    """Delete the key for good. Returns whether there was one of ours."""
    known = secrets.describe(aws, deployment.ca_key_secret)
    if known is None or not deployment.owns(known.get("Tags")):
        return False
    aws.client("secretsmanager").delete_secret(SecretId=deployment.ca_key_secret, ForceDeleteWithoutRecovery=True)
    return True


def _sign(deployment: Deployment, key: str, now: datetime) -> str:
    return authority_certificate(f"CN={deployment.name} Kafka CA", key, now)


def _time_left(certificate: str, now: datetime) -> timedelta:
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate.encode("ascii")).not_valid_after_utc - now
