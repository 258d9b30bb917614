"""The cluster's own certificate authority and the brokers' certificates.

The authority signs one certificate for each possible broker, and then its key is thrown away: nobody can ever have
another certificate that the brokers accept as one of their own, which is what makes a broker a super user.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shopstream.cluster.home import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

VALIDITY = timedelta(days=5 * 365)
RENEWAL = timedelta(days=30)
"""Certificates with less than this left are made anew at the next start."""


def principal(node: int) -> str:
    """The name by which a broker's certificate is known to Kafka. No SCRAM user can have one with `=` in it."""
    return f"CN=broker-{node}"


def keystore(tls: Path, node: int) -> Path:
    """The PEM file with a broker's private key and certificate."""
    return tls / f"broker-{node}.pem"


def ensure(tls: Path, nodes: int, now: datetime) -> bool:
    """Make the certificates that are missing or about to expire: all of them, or none.

    Args:
        tls: The directory for them.
        nodes: How many brokers there may be, ids from 1.
        now: The time, with its zone.

    Returns:
        Whether they were made anew, so that brokers and clients must read them again.
    """
    ca, expiry = tls / "ca.pem", tls / "expiry"
    files = [ca, *(keystore(tls, node) for node in range(1, nodes + 1))]
    if all(file.is_file() for file in files) and _expiry(expiry) - now > RENEWAL:
        return False
    _make(tls, nodes, now)
    # Written last: an interrupted run begins again. Kept beside them because reading a certificate costs 0.1 s of
    # imports at every start.
    write_private(expiry, (now + VALIDITY).isoformat() + "\n")
    return True


def new_key() -> str:
    """A new private key (PEM, without a passphrase) for an authority that is kept."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def authority_certificate(subject: str, key: str, now: datetime) -> str:
    """The certificate (PEM) of an authority, signed by itself.

    Args:
        subject: Its name, as RFC 4514 writes it.
        key: Its private key, as `new_key` makes it.
        now: The time, with its zone.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    private = load_pem_private_key(key.encode("ascii"), None)
    if not isinstance(private, EllipticCurvePrivateKey):
        raise TypeError(f"an elliptic curve key is expected, not {type(private).__name__}")
    return _certificate(subject, private, None, private, now).public_bytes(Encoding.PEM).decode("ascii")


def _expiry(path: Path) -> datetime:
    try:
        return datetime.fromisoformat(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def _make(tls: Path, nodes: int, now: datetime) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    (tls / "expiry").unlink(missing_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("CN=shopstream local CA", ca_key, None, ca_key, now)
    for node in range(1, nodes + 1):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(principal(node), key, ca, ca_key, now)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = certificate.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
        write_private(keystore(tls, node), (private + chain).decode("ascii"))
    write_private(tls / "ca.pem", ca.public_bytes(Encoding.PEM).decode("ascii"))


def _certificate(
    subject: str,
    key: EllipticCurvePrivateKey,
    issuer: Certificate | None,
    issuer_key: EllipticCurvePrivateKey,
    now: datetime,
) -> Certificate:
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    name = x509.Name.from_rfc4514_string(subject)
    authority = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a clock that is set back a little does no harm
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                key_cert_sign=authority,
                crl_sign=authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not authority:
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(
            x509.ExtendedKeyUsage(purposes), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())
