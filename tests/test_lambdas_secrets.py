"""Secrets come from files and from Secrets Manager, anew each time, and no error shows one."""

import json

import pytest
from botocore.exceptions import ClientError

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
