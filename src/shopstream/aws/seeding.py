"""Gives an AWS stand-in on this machine what a deployment's playbooks read: the passwords, and the authority.

The rehearsal of the playbooks needs no Terraform then. What is there already stays, as in a second deployment.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shopstream.aws import authority, secrets
from shopstream.aws.ownership import ACCOUNTS
from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment


def seed(aws: Aws, deployment: Deployment, now: datetime) -> tuple[str, ...]:
    """Make every secret of a deployment that is missing.

    Args:
        aws: The stand-in.
        deployment: Whose secrets.
        now: The time, with its zone; the authority's certificate is valid from then.

    Returns:
        The names of the secrets that were made.

    Raises:
        UsageError: This is not a stand-in on this machine. AWS's own secrets are Terraform's.
        ShopstreamError: A secret is there and unusable.
    """
    client = aws.client("secretsmanager")
    _refuse_aws(str(client.meta.endpoint_url))
    found = secrets.collect(aws, deployment)
    ca = authority.find_or_make(aws, deployment, now)
    authority.keep(aws, deployment, ca)
    made = [deployment.ca_key_secret] if ca.kept == "create" else []
    for name, value in _values(deployment, found, ca.certificate):
        if secrets.describe(aws, name) is None:
            client.create_secret(Name=name, SecretString=json.dumps(value), Tags=deployment.tag_list)
            made.append(name)
    return tuple(made)


def _values(
    deployment: Deployment, passwords: secrets.Passwords, certificate: str
) -> Iterator[tuple[str, dict[str, str]]]:
    for user, password in passwords.by_user.items():
        yield deployment.user_secret(user), {"username": user, "password": password.reveal()}
    for account, password in passwords.by_account.items():
        value = {"username": ACCOUNTS[account], "password": password.reveal()}
        yield deployment.account_secret(account), value
    yield deployment.ca_secret, {"certificate": certificate}


def _refuse_aws(endpoint: str) -> None:
    host = urlsplit(endpoint).hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if not here:
        raise UsageError(
            f"{endpoint} is not on this machine: only a stand-in gets its secrets this way (AWS_ENDPOINT_URL names "
            "it); on AWS they are made by scripts/deploy_all.sh"
        )
