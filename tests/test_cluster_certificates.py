"""The certificates: one authority without a key, brokers that it vouches for by address, renewed in time."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from shopstream.cluster import certificates

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def tls(tmp_path):
    assert certificates.ensure(tmp_path, 3, NOW)
    return tmp_path


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("subject", [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
@pytest.mark.parametrize("node", [1, 2, 3])
def test_a_broker_is_vouched_for_by_name_and_address(tls, node, subject):
    store = Store(x509.load_pem_x509_certificates((tls / "ca.pem").read_bytes()))
    chain = x509.load_pem_x509_certificates(certificates.keystore(tls, node).read_bytes())
    PolicyBuilder().store(store).time(NOW).build_server_verifier(subject).verify(chain[0], [])
    PolicyBuilder().store(store).time(NOW).build_client_verifier().verify(chain[0], [])
    assert chain[0].subject.rfc4514_string() == certificates.principal(node)


def test_a_broker_has_the_key_to_its_certificate_and_a_name_of_its_own(tls):
    found = {}
    for node in (1, 2, 3):
        pem = certificates.keystore(tls, node).read_bytes()
        certificate = x509.load_pem_x509_certificates(pem)[0]
        assert load_pem_private_key(pem, None).public_key() == certificate.public_key()
        found[certificate.subject.rfc4514_string()] = certificate.serial_number
    assert len(set(found.values())) == len(found) == 3


def test_nobody_keeps_the_authoritys_key(tls):
    ca = x509.load_pem_x509_certificate((tls / "ca.pem").read_bytes())
    keys = [load_pem_private_key(pem, None) for pem in contents(tls).values() if b"PRIVATE KEY" in pem]
    assert len(keys) == 3
    assert ca.public_key() not in [key.public_key() for key in keys]


def test_keys_are_for_their_owner_only(tls):
    for node in (1, 2, 3):
        assert certificates.keystore(tls, node).stat().st_mode & 0o777 == 0o600


def test_what_is_there_and_valid_stays(tls):
    before = contents(tls)
    assert not certificates.ensure(tls, 3, NOW + certificates.VALIDITY - certificates.RENEWAL - timedelta(days=1))
    assert contents(tls) == before


def test_what_is_about_to_expire_is_made_anew(tls):
    before = contents(tls)
    assert certificates.ensure(tls, 3, NOW + certificates.VALIDITY - certificates.RENEWAL + timedelta(days=1))
    assert all(before[name] != content for name, content in contents(tls).items())


@pytest.mark.parametrize("name", ["ca.pem", "broker-2.pem", "expiry"])
def test_when_one_is_missing_all_are_made_anew(tls, name):
    before = (tls / "broker-1.pem").read_bytes()
    (tls / name).unlink()
    assert certificates.ensure(tls, 3, NOW)
    assert (tls / "broker-1.pem").read_bytes() != before


def test_pythons_own_tls_takes_them(tls):
    ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.keystore(tls, 1))
