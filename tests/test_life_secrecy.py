"""A secret that lies outside the account is found, wherever it is, and is never itself told."""

import json
import zipfile

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import secrecy

PASSWORD = "Zm9yIGEgdGVzdCBvbmx5LCBvZiBubyB1c2UgYXQgYWxs"
KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
PUBLIC = "cHVibGljIGhhbGYgb2YgdGhlIGtleSwgZm9yIGV2ZXJ5Ym9keQ=="
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY}\n{PUBLIC}\n-----END PRIVATE KEY-----\n"
SECRETS = {
    "shop/kafka/payment_processor": json.dumps({"username": "payment_processor", "password": PASSWORD}),
    "shop/kafka-ca-key": json.dumps({"certificate": "-----BEGIN CERTIFICATE-----\n" + "A" * 64, "private_key": PEM}),
}


class Manager:
    """Secrets Manager, with a page for each secret."""

    def get_paginator(self, operation):
        assert operation == "list_secrets"
        return self

    def paginate(self):
        yield from ({"SecretList": [{"Name": name}]} for name in SECRETS)

    def get_secret_value(self, SecretId):  # noqa: N803 - as boto3 names it
        return {"SecretString": SECRETS[SecretId]}


@pytest.fixture
def words():
    return secrecy.words(lambda service: {"secretsmanager": Manager()}[service])


def test_passwords_and_keys_are_looked_for_and_what_is_public_is_not(words):
    assert words == {PASSWORD.encode(): "shop/kafka/payment_processor", KEY.encode(): "shop/kafka-ca-key"}


def test_a_secret_that_is_no_json_is_one(words):
    assert list(secrecy.telling(PASSWORD)) == [PASSWORD.encode()]


@pytest.mark.parametrize(
    ("file", "content", "secret"),
    [
        ("a/terraform.tfstate", json.dumps({"password": PASSWORD}), "shop/kafka/payment_processor"),
        ("configure.log", json.dumps({"content": PEM}), "shop/kafka-ca-key"),
        ("key.pem", PEM, "shop/kafka-ca-key"),
    ],
)
def test_it_is_found_and_called_by_its_name(words, tmp_path, file, content, secret):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RehearsalError) as raised:
        secrecy.search(words, [tmp_path])
    assert str(raised.value) == f"secrets lie outside Secrets Manager: {path} holds {secret}"


def test_it_is_found_in_a_zip(words, tmp_path):
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("settings.py", f"P = {PASSWORD!r}\n" * 100)
    with pytest.raises(RehearsalError, match=r"f\.zip: settings\.py holds shop/kafka/payment_processor"):
        secrecy.search(words, [tmp_path])


def test_without_one_it_tells_how_much_it_has_read(words, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "log").write_text("payment_processor logged in", encoding="utf-8")
    (tmp_path / "b" / "gone").symlink_to(tmp_path / "nothing")
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("a.py", "")
    assert secrecy.search(words, [tmp_path, tmp_path / "b" / "log", tmp_path / "nothing"]) == 4
