"""How a mapping connects to its brokers, and what it says when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from shopstream.errors import UsageError
from shopstream.lambdas.source import SourceProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shopstream.lambdas.model import MappingConfig
    from shopstream.lambdas.secrets import Secrets

# What AWS shows as LastProcessingResult ("Troubleshooting self-managed Apache Kafka event source mapping errors").
NOT_AUTHORIZED = "PROBLEM: Cluster failed to authorize Lambda."
NOT_AUTHENTICATED = "PROBLEM: SASL authentication failed."
SERVER_NOT_TRUSTED = "PROBLEM: Lambda failed to authenticate server."
NO_CONNECTION = "PROBLEM: Connection error. Please check your event source connection configuration."
NO_TOPIC = "PROBLEM: The topic does not exist."
"""AWS's own words for this one are not published."""

_TEXTS = {
    KafkaError._AUTHENTICATION: NOT_AUTHENTICATED,  # noqa: SLF001 - its public name, as below
    KafkaError.SASL_AUTHENTICATION_FAILED: NOT_AUTHENTICATED,
    KafkaError._SSL: SERVER_NOT_TRUSTED,  # noqa: SLF001
    KafkaError.TOPIC_AUTHORIZATION_FAILED: NOT_AUTHORIZED,
    KafkaError.GROUP_AUTHORIZATION_FAILED: NOT_AUTHORIZED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: NOT_AUTHORIZED,
    KafkaError.UNKNOWN_TOPIC_OR_PART: NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: NO_TOPIC,  # noqa: SLF001
}


def problem_of(error: KafkaError) -> SourceProblem | None:
    """What an error means to a mapping; None when the client library mends it by itself."""
    detail = f"{error.str()} ({error.name()})"
    if text := _TEXTS.get(error.code()):
        return SourceProblem(text, detail)
    return SourceProblem(NO_CONNECTION, detail) if error.fatal() else None


def client_config(mapping: MappingConfig, secrets: Secrets) -> dict[str, str | int | float | bool]:
    """How to connect as the mapping says, in librdkafka's words.

    Raises:
        UsageError: A secret is missing or has not what it takes.
    """
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": ",".join(mapping.bootstrap_servers),
        "security.protocol": ("SASL_" if mapping.auth_secret else "") + ("SSL" if mapping.tls else "PLAINTEXT"),
    }
    if mapping.auth_secret:
        secret = secrets.get(mapping.auth_secret)
        config["sasl.mechanisms"] = mapping.auth_mechanism
        config["sasl.username"] = _entry(secret, "username", mapping.auth_secret)
        config["sasl.password"] = _entry(secret, "password", mapping.auth_secret)
    if mapping.ca_secret:
        config["ssl.ca.pem"] = _entry(secrets.get(mapping.ca_secret), "certificate", mapping.ca_secret)
    return config


def _entry(secret: Mapping[str, str], name: str, reference: str) -> str:
    if not (value := secret.get(name)):
        raise UsageError(f"{reference}: the secret has no {name!r}: add it")
    return value
