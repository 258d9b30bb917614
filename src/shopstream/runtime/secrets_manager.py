"""Secrets from AWS Secrets Manager."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shopstream.errors import Retriable, SettingsError

# In a VPC without a way to Secrets Manager every attempt runs into its time-out, and the function shall live to say so.
CONFIG = {"connect_timeout": 2, "read_timeout": 4, "retries": {"mode": "standard", "total_max_attempts": 3}}


class SecretsManager:
    """Fetches secrets with the function's own role.

    Args:
        client: boto3's client; without one, that of the environment.
    """

    def __init__(self, client: Any = None) -> None:
        self._client = client or boto3.client("secretsmanager", config=Config(**CONFIG))

    def read(self, arn: str) -> str:
        """The text of a secret's current version.

        Raises:
            Retriable: It could not be fetched.
            SettingsError: It is not a text.
        """
        try:
            answer = self._client.get_secret_value(SecretId=arn)
        except (BotoCoreError, ClientError) as error:
            raise Retriable(
                f"the secret {arn} could not be fetched: {error}; the function's role must allow "
                "secretsmanager:GetSecretValue on it, and its subnets must reach Secrets Manager"
            ) from error
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise SettingsError(f"the secret {arn} is binary: store it as a text")
        return text
