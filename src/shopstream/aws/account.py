"""Which account and region an AWS session works in, asked of AWS itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from shopstream.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)
_REMEDY = "log in (`aws sso login`, `aws configure`) or set AWS_PROFILE, and try again"


class Caller(NamedTuple):
    """Who is calling: the account's number, and the identity's ARN."""

    account: str
    arn: str


class Aws:
    """A boto3 session that makes each client once, with retries and time limits.

    Attributes:
        session: The session. boto3 itself honours AWS_ENDPOINT_URL.
        region: Where regional services are asked.
    """

    def __init__(self, session: Any, region: str) -> None:
        self.session = session
        self.region = region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client for a service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, region_name=self.region, config=_CONFIG)
        return self._clients[service]

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def caller(self) -> Caller:
        """Ask AWS who we are.

        Raises:
            AwsError: there are no credentials, AWS does not take them, or it cannot be reached.
        """
        try:
            answer = self.client("sts").get_caller_identity()
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AwsError(f"no AWS credentials were found: {_REMEDY}") from error
        except ClientError as error:
            raise AwsError(f"AWS does not accept the credentials ({code_of(error)}): {_REMEDY}") from error
        except BotoCoreError as error:
            raise AwsError(f"AWS cannot be asked who is calling: {error}: {_REMEDY}") from error
        return Caller(answer["Account"], answer["Arn"])


def connect(region: str) -> Aws:
    """A session with whatever credentials the user's environment and profile hold."""
    try:
        return Aws(boto3.session.Session(region_name=region), region)
    except BotoCoreError as error:  # a profile that does not exist
        raise AwsError(f"AWS's configuration is unusable: {error}: {_REMEDY}") from error


def code_of(error: ClientError) -> str:
    """The short name that AWS gives an error."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """Every item of every page of an operation's answer."""
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key) or ()
    else:
        yield from getattr(client, operation)(**arguments).get(key) or ()
