"""What a Lambda function is told by its environment and its secrets. infra/terraform/lambdas.tf sets all of it.

Nothing is read before it is needed: a function that has nothing to do needs no settings, and none is missing then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from shopstream.errors import SettingsError
from shopstream.settings import ClientSettings, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_NAMESPACE = "shopstream"

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")
_SWITCH = {"": False, "false": False, "0": False, "true": True, "1": True}


class LambdaSettings:
    """The environment of a function, read variable by variable when it is asked for.

    Args:
        environ: The environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def bootstrap_servers(self) -> str:
        """The brokers, as host:port,host:port."""
        return self._required("KAFKA_BOOTSTRAP_SERVERS", "the brokers' listener for services, host:port,host:port")

    @property
    def user_secret(self) -> str:
        """The ARN of the secret with the service's Kafka user."""
        return self._required("KAFKA_USER_SECRET_ARN", "the ARN of the secret with the service's Kafka user")

    @property
    def ca_secret(self) -> str:
        """The ARN of the secret with the certificate authority of the brokers."""
        return self._required("KAFKA_CA_SECRET_ARN", "the ARN of the secret with the brokers' certificate authority")

    @property
    def state_table(self) -> str:
        """The DynamoDB table of a join."""
        return self._required("STATE_TABLE", "the name of the service's DynamoDB table")

    @property
    def namespace(self) -> str:
        """Where CloudWatch puts the metrics."""
        return self._environ.get("METRICS_NAMESPACE") or DEFAULT_NAMESPACE

    @property
    def seed(self) -> int | None:
        """What replaces the seed of the topology; None for the topology's own."""
        return self._number("SEED")

    @property
    def orders_per_invocation(self) -> int:
        """How many orders the source makes for an invocation that does not say."""
        number = self._number("ORDERS_PER_INVOCATION")
        return 1 if number is None else number

    @property
    def reports_batch_item_failures(self) -> bool:
        """Whether every mapping of this function is in provisioned mode and asks for ReportBatchItemFailures."""
        name = "REPORT_BATCH_ITEM_FAILURES"
        text = self._environ.get(name, "").strip().lower()
        if text not in _SWITCH:
            self._unusable(name, "true or false")
        return _SWITCH[text]

    def _required(self, name: str, what: str) -> str:
        value = self._environ.get(name, "").strip()
        if not value:
            raise SettingsError(
                f"the environment variable {name} is missing: it must be {what}; Terraform sets it in lambdas.tf"
            )
        return value

    def _number(self, name: str) -> int | None:
        text = self._environ.get(name, "").strip()
        if not text:
            return None
        if not _WHOLE_NUMBER.fullmatch(text):
            self._unusable(name, "a whole number")
        return int(text)

    def _unusable(self, name: str, expected: str) -> NoReturn:
        raise SettingsError(
            f"the environment variable {name} is {self._environ[name]!r}: it must be {expected}; Terraform sets it in "
            "lambdas.tf"
        )


class _User(msgspec.Struct):
    username: str
    password: str


class _Authority(msgspec.Struct):
    certificate: str


class KafkaAccess:
    """How to connect to Kafka: fetched once, and again after `forget`, because passwords are rotated.

    Args:
        settings: The function's environment.
        read_secret: Fetches a secret's text by its ARN.
    """

    def __init__(self, settings: LambdaSettings, read_secret: Callable[[str], str]) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._client: ClientSettings | None = None

    def client(self) -> ClientSettings:
        """SASL_SSL with SCRAM-SHA-512, as the service's user.

        Raises:
            SettingsError: Something is missing or unusable. No text shows what a secret holds.
            Retriable: A secret could not be fetched.
        """
        if self._client is None:
            servers, user_arn, ca_arn = (
                self._settings.bootstrap_servers,
                self._settings.user_secret,
                self._settings.ca_secret,
            )
            user = self._secret(user_arn, _User, '{"username": "…", "password": "…"}')
            authority = self._secret(ca_arn, _Authority, '{"certificate": "-----BEGIN CERTIFICATE-----…"}')
            if "-----BEGIN CERTIFICATE-----" not in authority.certificate:
                raise SettingsError(f'the secret {ca_arn} holds no certificate in PEM under "certificate"')
            self._client = ClientSettings(
                servers, username=user.username, password=Secret(user.password), ca_pem=authority.certificate
            )
        return self._client

    def forget(self) -> None:
        """The brokers refused it: fetch it anew next time."""
        self._client = None

    def _secret(self, arn: str, form: type[Any], expected: str) -> Any:
        text = self._read_secret(arn)
        try:
            found = msgspec.json.decode(text, type=form)
        except (msgspec.DecodeError, UnicodeError):
            found = None
        # The parser's own error is left out on purpose: it may quote the secret.
        if found is None or not all(getattr(found, field) for field in form.__struct_fields__):
            raise SettingsError(
                f"the secret {arn} is not what this function needs: store it as {expected}, with no field empty"
            )
        return found
