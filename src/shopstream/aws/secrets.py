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
        dying: The names of their secrets that are scheduled for deletion: `revive` must deal with them before Terraform
            can write. What they hold is not known.
    """

    by_user: Mapping[str, Secret]
    by_account: Mapping[str, Secret]
    version: int
    made: tuple[str, ...] = ()
    dying: tuple[str, ...] = ()

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
    rotate: Collection[str] = (),
    make: Callable[[], str] = new_password,
) -> Passwords:
    """Every login's password: the one in Secrets Manager, or a new one where there is none. Changes nothing.

    Args:
        aws: The account.
        deployment: Whose users and accounts.
        managed: The names of secrets in Terraform's state.
        written: The version that Terraform's state says was written last; 0 for none.
        rotate: Users and accounts to give a new password, or `all` but those of `FIXED`.
        make: Makes a password.

    Raises:
        UsageError: `rotate` names somebody who is neither, or one of `FIXED`.
        DeploymentError: A secret of that name belongs to somebody else.
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
    passwords, made, dying, renewed = {}, [], [], False
    for login, name in logins.items():
        there = describe_own(aws, deployment, name)
        if there and there.get("DeletedDate"):
            dying.append(name)
            there = None
        known = (read_json(aws, name) or {}).get("password") or None if there else None
        if known is None or login in rotate or (ALL in rotate and login not in FIXED):
            made.append(login)
            # Terraform believes that it has written this one: only a new version makes it write again.
            renewed |= known is not None or name in managed
            known = make()
        passwords[login] = Secret(known)
    version = max(written, 1) + (1 if renewed and written else 0)
    return _sorted_out(deployment, passwords, version, tuple(made), tuple(dying))


def revive(aws: Aws, deployment: Deployment, dying: Collection[str], managed: Collection[str]) -> None:
    """Free the names of secrets that are scheduled for deletion.

    If Terraform's state has one, the deployment is up and somebody deleted it by hand: it is restored. Otherwise it
    belongs to a deployment that is gone: its deletion is completed.

    Args:
        aws: The account.
        deployment: Whose secrets; another's are left alone.
        dying: The names, as `collect` found them.
        managed: The names of secrets in Terraform's state.

    Raises:
        DeploymentError: One belongs to somebody else.
    """
    client = aws.client("secretsmanager")
    for name in dying:
        if not (describe_own(aws, deployment, name) or {}).get("DeletedDate"):
            continue
        if name in managed:
            client.restore_secret(SecretId=name)
        else:
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def placeholders(deployment: Deployment, *, make: Callable[[], str] = new_password) -> Passwords:
    """Passwords that nobody uses, for `terraform destroy`, which wants every variable and writes none of them."""
    return _sorted_out(deployment, {login: Secret(make()) for login in deployment.logins}, 1)


def _sorted_out(
    deployment: Deployment,
    passwords: Mapping[str, Secret],
    version: int,
    made: tuple[str, ...] = (),
    dying: tuple[str, ...] = (),
) -> Passwords:
    return Passwords(
        {user: passwords[user] for user in deployment.users},
        {account: passwords[account] for account in deployment.accounts},
        version,
        made,
        dying,
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


def describe_own(aws: Aws, deployment: Deployment, name: str) -> dict[str, Any] | None:
    """A secret of the deployment; None when there is none of that name.

    Its tags decide alone: whoever makes one of ours, Terraform or this program, makes it with them in one call.

    Raises:
        DeploymentError: It belongs to somebody else.
    """
    known = describe(aws, name)
    if known is not None and not deployment.owns(known.get("Tags")):
        raise DeploymentError(
            f"the secret {name} belongs to somebody else (its tags are not this deployment's): "
            "choose another --name, or take it away"
        )
    return known


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
