"""The passwords of Kafka's users and of the hosts' own accounts: Secrets Manager holds them, and nothing else does.

A password that is there is used as it is, so that a second deployment changes nothing. A missing one is made here and
handed to Terraform through its environment, in ephemeral variables that feed write-only attributes: it stands in no
plan, no state, no list of processes. Terraform writes the secrets anew only when `secrets_version` grows; the number
that was written last stands in its state.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of
from shopstream.errors import AwsError, DeploymentError, UsageError
from shopstream.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment

ALL = "all"
FIXED = frozenset({"zookeeper_quorum", "zookeeper_client"})
"""Accounts whose passwords stay: a running ensemble cannot change them member by member, and no playbook tries."""

_MISSING = "ResourceNotFoundException"


def new_password() -> str:
    """A password of 43 letters, digits, hyphens and underscores: 256 bits, and nothing that a shell or JAAS quotes."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Passwords:
    """What Terraform needs to know about the logins.

    Attributes:
        by_user: Each Kafka user's password.
        by_account: The password of each of the hosts' own accounts.
        version: For Terraform's `secrets_version`; a higher number than the last makes it write every secret.
        made: The users and accounts whose password is new.
    """

    by_user: Mapping[str, Secret]
    by_account: Mapping[str, Secret]
    version: int
    made: tuple[str, ...] = ()

    def variables(self) -> dict[str, str]:
        """Terraform's ephemeral variables: the one place where the passwords are written out."""
        return {
            name: json.dumps({login: password.reveal() for login, password in passwords.items()})
            for name, passwords in (("kafka_passwords", self.by_user), ("host_passwords", self.by_account))
        }


def collect(
    aws: Aws,
    deployment: Deployment,
    *,
    managed: Collection[str] = (),
    written: int = 0,
    change: bool = True,
    rotate: Collection[str] = (),
    make: Callable[[], str] = new_password,
) -> Passwords:
    """Every login's password: the one in Secrets Manager, or a new one where there is none.

    A secret that is scheduled for deletion blocks its name. If Terraform's state has it, the deployment is up and
    somebody deleted it by hand: it is restored. Otherwise it belongs to a deployment that is gone: its deletion is
    completed.

    Args:
        aws: The account.
        deployment: Whose users and accounts.
        managed: The names of secrets in Terraform's state.
        written: The version that Terraform's state says was written last; 0 for none.
        change: Whether a secret that is scheduled for deletion may be dealt with; otherwise it counts as missing.
        rotate: Users and accounts to give a new password, or `all` but those of `FIXED`.
        make: Makes a password.

    Raises:
        UsageError: `rotate` names somebody who is neither, or one of `FIXED`.
        AwsError: A secret may not be read, or is not what it should be.
    """
    logins = deployment.logins
    unknown = set(rotate) - {ALL, *logins}
    if unknown:
        raise UsageError(
            f"--rotate {', '.join(sorted(unknown))}: no such Kafka user or account; there are {', '.join(logins)}"
        )
    if fixed := FIXED & set(rotate):
        raise UsageError(
            f"--rotate {', '.join(sorted(fixed))}: ZooKeeper's members would no longer know each other or the brokers. "
            "A deployment that is made anew has new ones"
        )
    passwords, made, renewed = {}, [], False
    for login, name in logins.items():
        known = _read(aws, deployment, name, managed, change)
        if known is None or login in rotate or (ALL in rotate and login not in FIXED):
            made.append(login)
            # Terraform believes that it has written this one: only a new version makes it write again.
            renewed |= known is not None or name in managed
            known = make()
        passwords[login] = Secret(known)
    return _sorted_out(deployment, passwords, max(written, 1) + (1 if renewed and written else 0), tuple(made))


def placeholders(deployment: Deployment, *, make: Callable[[], str] = new_password) -> Passwords:
    """Passwords that nobody uses, for `terraform destroy`, which wants every variable and writes none of them."""
    return _sorted_out(deployment, {login: Secret(make()) for login in deployment.logins}, 1)


def _sorted_out(
    deployment: Deployment, passwords: Mapping[str, Secret], version: int, made: tuple[str, ...] = ()
) -> Passwords:
    return Passwords(
        {user: passwords[user] for user in deployment.users},
        {account: passwords[account] for account in deployment.accounts},
        version,
        made,
    )


def read_json(aws: Aws, name: str) -> dict[str, str] | None:
    """A secret's value. None when there is no such secret, or it has no value yet.

    Raises:
        AwsError: It may not be read, is scheduled for deletion, or holds no JSON object.
    """
    try:
        text = aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        value = json.loads(text)
    except ClientError as error:
        if code_of(error) == _MISSING:
            return None
        raise AwsError(f"the secret {name} cannot be read ({code_of(error)}): {_message(error)}") from error
    except (KeyError, ValueError) as error:
        raise AwsError(f"the secret {name} holds no JSON: delete it, and deploy again") from error
    if not isinstance(value, dict):
        raise AwsError(f"the secret {name} holds no JSON object: delete it, and deploy again")
    return value


def describe(aws: Aws, name: str) -> dict[str, Any] | None:
    """What Secrets Manager says about a secret without its value; None when there is none."""
    try:
        answer: dict[str, Any] = aws.client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if code_of(error) == _MISSING:
            return None
        raise AwsError(f"the secret {name} cannot be looked at ({code_of(error)}): {_message(error)}") from error
    return answer


def _read(aws: Aws, deployment: Deployment, name: str, managed: Collection[str], change: bool) -> str | None:
    known = describe(aws, name)
    if known is None:
        return None
    if not deployment.may_own(known.get("Tags"), name, deployment.secrets):
        raise DeploymentError(
            f"the secret {name} belongs to somebody else (its tags are not this deployment's): "
            "choose another --name, or take it away"
        )
    if known.get("DeletedDate"):
        if not change:
            return None
        client = aws.client("secretsmanager")
        if name not in managed:
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
            return None
        client.restore_secret(SecretId=name)
    value = read_json(aws, name)
    return (value or {}).get("password") or None


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
