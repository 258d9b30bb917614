"""How to reach a Kafka cluster as one user: typed, secrets masked, read from and written to Java-style properties.

One file format serves both worlds: Kafka's own tools take the properties file as it is, and `to_librdkafka` is the
only place where these settings become librdkafka's keys.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shopstream.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

GroupProtocol = Literal["consumer", "classic"]

_JAAS = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))')
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


@dataclass(frozen=True)
class Secret:
    """A text that is shown as asterisks wherever it is printed, logged or formatted."""

    _value: str

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True)
class ClientSettings:
    """Everything that a Kafka client needs to connect as one user.

    Attributes:
        bootstrap_servers: `host:port`, separated by commas.
        security_protocol: SASL_SSL, SASL_PLAINTEXT, SSL or PLAINTEXT.
        sasl_mechanism: For example SCRAM-SHA-512; None without SASL.
        username: The SASL user; None without SASL.
        password: Its password.
        ca: A PEM file with the certificate authorities to trust; None for the system's own.
        group_protocol: `consumer` (KIP-848, Kafka 4.0 and later) or `classic`.
        ca_pem: The certificate authorities as a text, for where there is no file. It counts before `ca`.
    """

    bootstrap_servers: str
    security_protocol: str = "SASL_SSL"
    sasl_mechanism: str | None = "SCRAM-SHA-512"
    username: str | None = None
    password: Secret | None = None
    ca: Path | None = None
    group_protocol: GroupProtocol = "consumer"
    ca_pem: str | None = None

    @classmethod
    def from_properties(cls, path: Path) -> ClientSettings:
        """Read a client properties file as Kafka's tools take it, or with librdkafka's names for the same.

        Raises:
            SettingsError: The file cannot be read, or something that a client needs is missing.
        """
        try:
            properties = parse_properties(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}): name a Kafka client properties "
                "file; `shopstream env` lists those of the local cluster"
            ) from error
        return cls.from_mapping(properties, str(path), relative_to=path.parent)

    @classmethod
    def from_mapping(
        cls, properties: Mapping[str, str], source: str, *, relative_to: Path | None = None
    ) -> ClientSettings:
        """Take the settings from Java's or librdkafka's names.

        Raises:
            SettingsError: Something that a client needs is missing or cannot be used. `source` names it.
        """
        servers = properties.get("bootstrap.servers")
        if not servers:
            raise SettingsError(f"{source}: bootstrap.servers is missing: add the brokers, as host:port,host:port")
        protocol = properties.get("security.protocol", "PLAINTEXT").upper()
        mechanism = properties.get("sasl.mechanism", properties.get("sasl.mechanisms"))
        username, password = _credentials(properties)
        if protocol.startswith("SASL"):
            if mechanism not in _LOGIN_MODULES:
                raise SettingsError(
                    f"{source}: sasl.mechanism is {mechanism!r}: use one of {', '.join(_LOGIN_MODULES)}"
                )
            if not username or password is None:
                raise SettingsError(
                    f"{source}: {protocol} needs a user: add sasl.jaas.config, or sasl.username and sasl.password"
                )
        group_protocol = properties.get("group.protocol", "consumer").lower()
        if group_protocol not in {"consumer", "classic"}:
            raise SettingsError(f"{source}: group.protocol is {group_protocol!r}: use consumer or classic")
        return cls(
            bootstrap_servers=servers,
            security_protocol=protocol,
            sasl_mechanism=mechanism if protocol.startswith("SASL") else None,
            username=username,
            password=Secret(password) if password is not None else None,
            ca=_certificate_authority(properties, source, relative_to),
            ca_pem=properties.get("ssl.ca.pem", properties.get("ssl.truststore.certificates")),
            group_protocol="classic" if group_protocol == "classic" else "consumer",
        )

    def to_properties(self) -> str:
        """The text of a properties file for Kafka's own tools, password included; `from_properties` reads it back."""
        lines = {"bootstrap.servers": self.bootstrap_servers, "security.protocol": self.security_protocol}
        if self.sasl_mechanism:
            lines["sasl.mechanism"] = self.sasl_mechanism
        if self.username is not None and self.password is not None and self.sasl_mechanism:
            user, password = (_quote(text) for text in (self.username, self.password.reveal()))
            module = _LOGIN_MODULES[self.sasl_mechanism]
            lines["sasl.jaas.config"] = f"{module} required username={user} password={password};"
        if self.ca_pem:
            lines["ssl.truststore.type"] = "PEM"
            lines["ssl.truststore.certificates"] = self.ca_pem
        elif self.ca:
            lines["ssl.truststore.type"] = "PEM"
            lines["ssl.truststore.location"] = str(self.ca)
        lines["group.protocol"] = self.group_protocol
        return "".join(f"{key}={_escape(value)}\n" for key, value in lines.items())

    def to_librdkafka(self) -> dict[str, str | int | float | bool]:
        """The connection as librdkafka's configuration, without the group protocol, which only a consumer takes."""
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.sasl_mechanism:
            config["sasl.mechanisms"] = self.sasl_mechanism
        if self.username is not None:
            config["sasl.username"] = self.username
        if self.password is not None:
            config["sasl.password"] = self.password.reveal()
        if self.ca_pem:
            config["ssl.ca.pem"] = self.ca_pem
        elif self.ca:
            config["ssl.ca.location"] = str(self.ca)
        return config

    def with_user(self, username: str, password: Secret) -> ClientSettings:
        """The same cluster as another user."""
        return replace(self, username=username, password=password)


def for_user(path: Path, user: str) -> ClientSettings:
    """The settings of a user whose file, `<user>.properties`, lies beside `path`.

    Raises:
        SettingsError: There is no such file, or it is unusable.
    """
    sibling = path.with_name(f"{user}.properties")
    if not sibling.is_file():
        raise SettingsError(
            f"{sibling}: not found: each user's client properties file must lie beside {path.name}, "
            "named <user>.properties"
        )
    return ClientSettings.from_properties(sibling)


def for_user_or_itself(path: Path, user: str) -> ClientSettings:
    """The settings of a user whose file lies beside `path`; those of `path` itself where there is no such file.

    Raises:
        SettingsError: The file is unusable.
    """
    sibling = path.with_name(f"{user}.properties")
    return ClientSettings.from_properties(sibling if sibling.is_file() else path)


def parse_properties(text: str) -> dict[str, str]:
    """Read Java's properties format: comments, continued lines, `=`, `:` or white space after the key, escapes."""
    properties: dict[str, str] = {}
    logical = ""
    for raw in re.split(r"\r\n|\n|\r", text):  # str.splitlines() knows more line ends than Java
        line = logical + raw.lstrip()
        if not logical and (not line or line[0] in "#!"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            logical = line[:-1]
            continue
        logical = ""
        key, value = re.match(r"((?:[^\\=:\s]|\\.)*)\s*[=:]?\s*(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr] # matches any line
        properties[_unescape(key)] = _unescape(value)
    return properties


def _credentials(properties: Mapping[str, str]) -> tuple[str | None, str | None]:
    if jaas := properties.get("sasl.jaas.config"):
        found = {key: re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for key, quoted, bare in _JAAS.findall(jaas)}
        return found.get("username"), found.get("password")
    return properties.get("sasl.username"), properties.get("sasl.password")


def _certificate_authority(properties: Mapping[str, str], source: str, relative_to: Path | None) -> Path | None:
    location = properties.get("ssl.ca.location")
    if location is None and (location := properties.get("ssl.truststore.location")) is not None:
        kind = properties.get("ssl.truststore.type", "JKS").upper()
        if kind != "PEM":
            raise SettingsError(
                f"{source}: ssl.truststore.type is {kind}: convert the trust store to PEM "
                "(keytool -exportcert -rfc) and say ssl.truststore.type=PEM"
            )
    if location is None:
        return None
    path = relative_to / location if relative_to else Path(location)
    if not path.is_file():
        raise SettingsError(f"{source}: the trusted certificates {path} do not exist: correct the path")
    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"{source}: {path} holds no PEM certificates that can be read: {error}") from error
    return path


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escape(value: str) -> str:
    # Java reads the file as Latin-1, so everything beyond ASCII goes as an escape of UTF-16.
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(
        chr(code) if 0x20 < code < 0x7F or (code == 0x20 and i) else f"\\u{code:04x}" for i, code in enumerate(codes)
    )


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def _unescape(text: str) -> str:
    plain = re.sub(
        r"\\(u[0-9a-fA-F]{4}|.)",
        lambda match: chr(int(match[1][1:], 16)) if len(match[1]) > 1 else _ESCAPES.get(match[1], match[1]),
        text,
    )
    # Two escapes may be the halves of one character.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
