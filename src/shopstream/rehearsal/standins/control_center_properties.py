"""Part of a stand-in for Confluent Control Center: its properties file, every key compared with a list of known ones.

The list was put together by hand from Confluent's documentation and public examples of Control Center (Legacy). The
reference page itself could not be compared with it: a key that is missing here may exist, and one here may be outdated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BASE = "confluent.controlcenter."
_KEYS = frozenset(
    {
        "bootstrap.servers",
        "confluent.license",
        "confluent.metadata.bootstrap.server.urls",
        "confluent.metadata.basic.auth.user.info",
        "confluent.metadata.cluster.registry.enable",
        "confluent.metrics.topic",
        "confluent.metrics.topic.max.message.bytes",
        "confluent.metrics.topic.partitions",
        "confluent.metrics.topic.replication",
        "confluent.metrics.topic.retention.ms",
        "confluent.metrics.topic.skip.backlog.minutes",
        "confluent.monitoring.interceptor.topic",
        "confluent.monitoring.interceptor.topic.partitions",
        "confluent.monitoring.interceptor.topic.replication",
        "confluent.monitoring.interceptor.topic.retention.ms",
        "confluent.monitoring.interceptor.topic.skip.backlog.minutes",
        "confluent.support.metrics.enable",
        "public.key.path",
        "zookeeper.connect",
        *(
            _BASE + key
            for key in (
                *("alert.cluster.down.autocreate", "alert.cluster.down.send.rate", "alert.cluster.down.to.email"),
                *("alert.max.trigger.events", "auth.restricted.roles", "auth.session.expiration.ms"),
                *("broker.config.edit.enable", "command.streams.start.timeout", "command.topic"),
                *("command.topic.replication", "command.topic.retention.ms", "connect.healthcheck.endpoint"),
                *("consumer.metadata.timeout.ms", "data.dir", "deprecated.views.enable", "disk.skew.warning.min.bytes"),
                *("id", "internal.streams.start.timeout", "internal.topics.changelog.segment.bytes"),
                *("internal.topics.partitions", "internal.topics.replication", "internal.topics.retention.bytes"),
                *("internal.topics.retention.ms", "ksql.enable", "license.manager", "license.manager.enable"),
                *("mail.bounce.address", "mail.checkserveridentity", "mail.enabled", "mail.from", "mail.host.name"),
                *("mail.password", "mail.port", "mail.ssl.checkserveridentity", "mail.starttls.required"),
                *("mail.username", "mode.enable", "name", "productivity.metrics.enable"),
                *("rest.advertised.url", "rest.authentication.method", "rest.authentication.realm"),
                *("rest.authentication.roles", "rest.authentication.skip.paths", "rest.compression.enable"),
                *("rest.csrf.prevention.enable", "rest.hsts.enable", "rest.listeners", "rest.port"),
                *("rest.response.http.headers.config", "schema.registry.enable", "schema.registry.url"),
                *(
                    "service.healthcheck.interval.sec",
                    "topic.inspection.enable",
                    "triggers.active-controller-count.enable",
                ),
                *("ui.autoupdate.enable", "ui.basepath", "ui.brokers.enable", "ui.consumer.lag.enable"),
                *("ui.controller.chart.enable", "ui.data.expired.threshold", "ui.replicator.monitoring.enable"),
                *("ui.streams.enable", "ui.topics.enable", "usage.data.collection.enable", "webhook.enabled"),
                *("sbk.ui.enable", "productivity.metrics.enable", "connect.cluster"),
            )
        ),
    }
)
# Anything that a Kafka client takes may follow these.
_CLIENTS = tuple(_BASE + prefix for prefix in ("streams.", "streams.producer.", "streams.consumer."))
_CLIENT_KEYS = re.compile(
    r"(ssl|sasl)\.[a-z.]+|security\.protocol|client\.id|cprest\.url|num\.stream\.threads|cache\.max\.bytes\.buffering|"
    r"retries|retry\.backoff\.ms|request\.timeout\.ms|max\.request\.size|max\.poll\.(interval\.ms|records)|"
    r"session\.timeout\.ms|state\.dir|processing\.guarantee|confluent\.license|fetch\.max\.bytes|compression\.type"
)
_PATTERNS = (
    re.compile(r"confluent\.controlcenter\.rest\.ssl\.[a-z.]+"),
    re.compile(r"confluent\.controlcenter\.(connect|ksql)\.[\w-]+\.(cluster|url|advertised\.url|ssl\.[a-z.]+|basic.*)"),
    re.compile(r"confluent\.controlcenter\.schema\.registry\.[\w.-]+"),
    re.compile(r"confluent\.controlcenter\.kafka\.[\w-]+\.([a-z.]+)"),
    re.compile(r"confluent\.monitoring\.interceptor\.((ssl|sasl)\.[a-z.]+|security\.protocol)"),
    re.compile(r"confluent\.metadata\.(ssl\.[a-z.]+|http\.auth\.credentials\.provider)"),
)
_JAAS = re.compile(r"^\s*org\.apache\.kafka\.common\.security\.scram\.ScramLoginModule\s+required\s+(.*);\s*$")
_OPTION = re.compile(r'(\w+)="([^"]*)"')


class PropertiesError(Exception):
    """The file is not one that Control Center would take, or that this stand-in could use."""


def known(key: str) -> bool:
    """Whether the list has a key."""
    if key in _KEYS or any(pattern.fullmatch(key) for pattern in _PATTERNS):
        return True
    return any(key.startswith(p) and _CLIENT_KEYS.fullmatch(key.removeprefix(p)) for p in _CLIENTS)


def read(path: Path) -> dict[str, str]:
    """Read the file.

    Raises:
        PropertiesError: A line is no property, or a key is given twice or not known.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        key, equals, value = (part.strip() for part in stripped.partition("="))
        if not equals:
            raise PropertiesError(f"{path}:{number}: expected key=value")
        if key in found:
            raise PropertiesError(f"{path}:{number}: {key} is given twice")
        if not known(key):
            raise PropertiesError(f"{path}:{number}: {key} is not a known property of Control Center")
        found[key] = value
    if not found.get("bootstrap.servers"):
        raise PropertiesError(f"{path}: bootstrap.servers is missing")
    return found


def client(properties: dict[str, str]) -> dict[str, str]:
    """The librdkafka settings that connect as the file says.

    Raises:
        PropertiesError: The credentials cannot be read, or a trust store is not PEM.
    """
    prefix = _CLIENTS[0]
    settings = {
        "bootstrap.servers": properties["bootstrap.servers"],
        "security.protocol": properties.get(f"{prefix}security.protocol", "PLAINTEXT"),
    }
    mechanism = properties.get(f"{prefix}sasl.mechanism")
    if mechanism:
        match = _JAAS.match(properties.get(f"{prefix}sasl.jaas.config", ""))
        options = dict(_OPTION.findall(match[1])) if match else {}
        if not {"username", "password"} <= options.keys():
            raise PropertiesError(f"{prefix}sasl.jaas.config: expected a ScramLoginModule with username and password")
        settings.update(
            {"sasl.mechanism": mechanism, "sasl.username": options["username"], "sasl.password": options["password"]}
        )
    authority = properties.get(f"{prefix}ssl.truststore.location")
    if authority:
        if properties.get(f"{prefix}ssl.truststore.type") != "PEM":
            raise PropertiesError(f"{prefix}ssl.truststore.type: the stand-in reads PEM only")
        settings["ssl.ca.location"] = authority
    return settings


def accounts(properties: dict[str, str], jaas: Path | None) -> dict[str, str] | None:
    """Who may use the pages (user: password); None for everybody.

    Args:
        properties: The file.
        jaas: The login configuration that the JVM is given.

    Raises:
        PropertiesError: Basic authentication is asked for, and there is no account for it.
    """
    if properties.get(f"{_BASE}rest.authentication.method", "NONE") != "BASIC":
        return None
    realm = properties.get(f"{_BASE}rest.authentication.realm", "c3")
    text = jaas.read_text(encoding="utf-8") if jaas else ""
    entry = re.search(rf"^\s*{re.escape(realm)}\s*\{{(.*?)\}}", text, re.MULTILINE | re.DOTALL)
    file = dict(_OPTION.findall(entry[1])).get("file") if entry else None
    if file is None or jaas is None:
        raise PropertiesError(f"{jaas}: expected an entry {realm} with the file of the accounts")
    roles = {role.strip() for role in properties.get(f"{_BASE}rest.authentication.roles", "").split(",")}
    found = {}
    for line in (jaas.parent / file).read_text(encoding="utf-8").splitlines():
        user, colon, rest = line.partition(":")
        password, _, groups = rest.strip().partition(",")
        if colon and roles & {group.strip() for group in groups.split(",")}:
            found[user.strip()] = password
    if not found:
        raise PropertiesError(f"{file}: no account has one of the roles {', '.join(sorted(roles))}")
    return found
