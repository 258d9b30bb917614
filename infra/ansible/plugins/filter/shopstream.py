"""Small judgements that Jinja can't make: does a password fit, is a replica missing, is a certificate still good."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import re
from typing import Any

from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.exceptions import InvalidSignature

UNIT_BYTES = 1024 * 1024
# What cgroup v1 says when there is no limit is a number beyond any memory.
NO_LIMIT_MB = 1 << 40

_SCRAM_LINE = re.compile(r"Configs for user-principal '(?P<user>[^']+)' are (?P<configs>.*)")
_SCRAM = re.compile(
    r"SCRAM-SHA-512=.*?salt=(?P<salt>[A-Za-z0-9+/=]+),stored_key=(?P<stored>[A-Za-z0-9+/=]+),"
    r"server_key=(?P<server>[A-Za-z0-9+/=]+),iterations=(?P<iterations>\d+)"
)
_PARTITION = re.compile(
    r"Topic: (?P<topic>\S+)\s+Partition: (?P<partition>\d+)\s+Leader: (?P<leader>\S+)\s+"
    r"Replicas: (?P<replicas>\S*)\s+Isr: (?P<isr>[\d,]*)"
)


def scram_state(described: str, user: str, password: str) -> str:
    """How a user's SCRAM-SHA-512 credential in ZooKeeper compares with a password.

    Args:
        described: Output of `kafka-configs.sh --zookeeper ... --describe --entity-type users`.
        user: The user's name.
        password: The password that it should have.

    Returns:
        `missing`, `same` or `different`.
    """
    for line in described.splitlines():
        found = _SCRAM_LINE.search(line)
        if found is None or found["user"] != user:
            continue
        scram = _SCRAM.search(found["configs"])
        if scram is None:
            return "missing"
        salted = hashlib.pbkdf2_hmac(
            "sha512", password.encode(), base64.b64decode(scram["salt"]), int(scram["iterations"])
        )
        stored = hashlib.sha512(hmac.digest(salted, b"Client Key", "sha512")).digest()
        return "same" if hmac.compare_digest(stored, base64.b64decode(scram["stored"])) else "different"
    return "missing"


def partitions(described: str) -> list[dict[str, Any]]:
    """The partitions of a `kafka-topics.sh --describe`.

    Args:
        described: Its output.
    """
    return [
        {
            "name": f"{line['topic']}-{line['partition']}",
            "topic": line["topic"],
            "leader": line["leader"],
            "replicas": _numbers(line["replicas"]),
            "isr": _numbers(line["isr"]),
        }
        for line in _PARTITION.finditer(described)
    ]


def out_of_sync(described: str, replicas: int = 0) -> list[str]:
    """Partitions whose replicas are not all in sync, one line each.

    Args:
        described: Output of `kafka-topics.sh --describe`.
        replicas: How many replicas each partition must have; 0 for whatever it has.
    """
    lines = []
    for partition in partitions(described):
        want, have = partition["replicas"], partition["isr"]
        if want != have or partition["leader"] == "none" or (replicas and len(want) != replicas):
            lines.append(f"{partition['name']}: replicas {_joined(want)}, in sync {_joined(have) or 'none'}")
    return lines


def described_topics(described: str) -> list[str]:
    """Names of the topics in a `kafka-topics.sh --describe`, sorted.

    Args:
        described: Its output.
    """
    return sorted({partition["topic"] for partition in partitions(described)})


def memory_mb(described: str, contained: bool) -> int:
    """The memory that a host may use, MiB.

    Args:
        described: /proc/meminfo, followed by what the cgroup files hold.
        contained: Whether the cgroup's limit counts, as in a container, whose /proc/meminfo is the machine's.

    Raises:
        AnsibleFilterError: /proc/meminfo is not in there.
    """
    total = re.search(r"^MemTotal:\s+(\d+) kB", described, re.MULTILINE)
    if total is None:
        raise AnsibleFilterError(f"no MemTotal in {described[:200]!r}")
    memory = int(total[1]) // 1024
    limits = [int(line) // UNIT_BYTES for line in described.splitlines() if line.strip().isdigit()]
    return min([memory, *(limit for limit in limits if limit < NO_LIMIT_MB)]) if contained else memory


def certificate_defect(
    certificate: str, ca: str, names: list[str], addresses: list[str], days: int, now: str | None = None
) -> str:
    """Why a host needs a new certificate, or "" if it does not.

    Args:
        certificate: The host's certificate (PEM), "" if it has none.
        ca: The authority's certificate (PEM).
        names: The host's names.
        addresses: The host's IP addresses.
        days: It must be valid for so many days more.
        now: The time, ISO 8601 with its zone; the clock's without it.
    """
    if "BEGIN CERTIFICATE" not in certificate:
        return "it has none"
    found = x509.load_pem_x509_certificate(certificate.encode())
    authority = x509.load_pem_x509_certificate(ca.encode())
    time = dt.datetime.fromisoformat(now) if now else dt.datetime.now(dt.UTC)
    try:
        found.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "another authority has signed it"
    if found.not_valid_after_utc < time + dt.timedelta(days=days):
        return f"it ends on {found.not_valid_after_utc:%Y-%m-%d}"
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    have = {
        *alternatives.get_values_for_type(x509.DNSName),
        *map(str, alternatives.get_values_for_type(x509.IPAddress)),
    }
    want = {*names, *(str(ipaddress.ip_address(address)) for address in addresses)}
    if have != want:
        return f"it is for {_joined(sorted(have))}, the host is {_joined(sorted(want))}"
    return ""


def _numbers(text: str) -> list[int]:
    return sorted(int(number) for number in text.split(",") if number)


def _joined(values: list[Any]) -> str:
    return ", ".join(map(str, values))


class FilterModule:
    """What playbooks may call."""

    def filters(self) -> dict[str, Any]:
        """The filters by name."""
        return {
            "certificate_defect": certificate_defect,
            "described_topics": described_topics,
            "memory_mb": memory_mb,
            "out_of_sync": out_of_sync,
            "partitions": partitions,
            "scram_state": scram_state,
        }
