"""Secrets come from files and from Secrets Manager, anew each time, and no error shows one."""

import json
import sys

import pytest
from botocore.exceptions import ClientError, NoRegionError

from shopstream.errors import UsageError
from shopstream.lambdas.secrets import AnySecrets, JsonFiles, SecretsManager

SECRET = {"username": "u", "password": "p4ssword"}


class Client:
    """Secrets Manager, as far as it is called."""

    def __init__(self, **secrets):
        self.secrets = secrets

    def get_secret_value(self, SecretId):  # noqa: N803 - boto3's name
        if SecretId not in self.secrets:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetSecretValue")
        return {"SecretString": self.secrets[SecretId]}


def test_files(tmp_path):
    path = tmp_path / "user.json"
    files = JsonFiles(tmp_path)
    path.write_text(json.dumps(SECRET))
    assert files.get("file:user.json") == files.get(f"file:{path}") == SECRET
    path.write_text(json.dumps({"username": "v", "password": "w"}))
    assert files.get("file:user.json")["username"] == "v"
    with pytest.raises(UsageError, match=r"nobody\.json"):
        files.get("file:nobody.json")


def test_secrets_manager():
    client = Client(one=json.dumps(SECRET))
    manager = SecretsManager(lambda: client)
    assert manager.get("one") == SECRET
    client.secrets["one"] = '{"username": "v"}'
    assert manager.get("one") == {"username": "v"}
    with pytest.raises(UsageError, match="two"):
        manager.get("two")


def test_a_secret_without_a_region_is_told_with_the_remedy():
    def client():
        raise NoRegionError

    with pytest.raises(UsageError, match=r"^one: .*region.*: set AWS_DEFAULT_REGION"):
        SecretsManager(client).get("one")


def test_an_endpoint_that_is_no_address_is_told():
    def client():
        raise ValueError("Invalid endpoint: x y")

    with pytest.raises(UsageError, match=r"^one: .*Invalid endpoint: x y"):
        SecretsManager(client).get("one")


def test_without_boto3_a_secret_of_secrets_manager_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(UsageError, match=r"^one: boto3 is missing.*pip install"):
        SecretsManager(Client).get("one")


def test_references_find_their_place(tmp_path):
    (tmp_path / "s.json").write_text('{"from": "file"}')
    both = AnySecrets(JsonFiles(tmp_path), SecretsManager(lambda: Client(s='{"from": "manager"}')))
    assert both.get("file:s.json") == {"from": "file"}
    assert both.get("s") == {"from": "manager"}


@pytest.mark.parametrize("content", ["p4ssword", '{"password": "p4ssword"', '["p4ssword"]', '{"p4ssword": 1}'])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(UsageError, match=r"s\.json") as caught:
        JsonFiles(tmp_path).get("file:s.json")
    assert "p4ssword" not in str(caught.value)
