"""Secrets become client files that only their owner reads; a stand-in gets its secrets without Terraform."""

from __future__ import annotations

import json
from dataclasses import replace

import boto3
import pytest

from shopstream.aws import clients, seeding
from shopstream.aws.account import Aws
from shopstream.aws.ownership import ACCOUNTS
from shopstream.errors import AwsError, DeploymentError, UsageError
from shopstream.settings import ClientSettings, for_user
from tests.aws_account import NEIGHBOUR, NOW, OURS, REGION, TOPOLOGY, account, aws, stand_in

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]

OUTPUTS = {"kafka_private_ips": ["10.20.0.21", "10.20.16.22"], "deployment": OURS.name}


def value(aws, name):
    return json.loads(aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def test_a_stand_in_gets_every_secret_once(aws):
    assert set(seeding.seed(aws, OURS, NOW)) == set(OURS.secrets)
    before = {name: value(aws, name) for name in OURS.secrets}
    assert {account: before[OURS.account_secret(account)]["username"] for account in OURS.accounts} == ACCOUNTS
    assert before[OURS.ca_secret]["certificate"] == before[OURS.ca_key_secret]["certificate"]
    aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("admin"), ForceDeleteWithoutRecovery=True)
    assert seeding.seed(aws, OURS, NOW) == (OURS.user_secret("admin"),)
    after = {name: value(aws, name) for name in OURS.secrets}
    assert {name for name in before if before[name] != after[name]} == {OURS.user_secret("admin")}


def test_aws_itself_gets_nothing_this_way(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    refusal = pytest.raises(UsageError, match=r"amazonaws\.com is not on this machine")
    with Aws(boto3.session.Session("id", "key", region_name=REGION), REGION) as real, refusal:
        seeding.seed(real, OURS, NOW)


def test_each_user_gets_a_file_for_its_listener(aws, tmp_path):
    seeding.seed(aws, OURS, NOW)
    folder = tmp_path / "deep" / "clients"
    files = clients.write(aws, OURS, TOPOLOGY, OUTPUTS, folder)
    assert set(files) == set(TOPOLOGY.users)
    assert folder.stat().st_mode & 0o777 == 0o700
    for user in TOPOLOGY.users:
        assert files[user].stat().st_mode & 0o777 == 0o600
        port = 9094 if user in TOPOLOGY.services else 9093
        settings = for_user(files["admin"], user)
        assert settings == ClientSettings(
            bootstrap_servers=f"10.20.0.21:{port},10.20.16.22:{port}",
            username=user,
            password=settings.password,
            ca=folder / "ca.pem",
            group_protocol="classic",
        )
        assert settings.password.reveal() == value(aws, OURS.user_secret(user))["password"]
    assert (folder / "ca.pem").read_text() == value(aws, OURS.ca_secret)["certificate"]
    assert clients.write(aws, OURS, TOPOLOGY, OUTPUTS, folder) == files


def test_what_is_missing_is_told_and_nothing_is_written(aws, tmp_path):
    folder = tmp_path / "clients"
    with pytest.raises(DeploymentError, match="name no broker"):
        clients.write(aws, OURS, TOPOLOGY, {}, folder)
    with pytest.raises(AwsError, match=r"shop/kafka-ca is missing, or has no certificate: scripts/deploy_all\.sh"):
        clients.write(aws, OURS, TOPOLOGY, OUTPUTS, folder)
    seeding.seed(aws, OURS, NOW)
    with pytest.raises(UsageError, match="the outputs of shop: say --name shop"):
        clients.write(aws, NEIGHBOUR, TOPOLOGY, OUTPUTS, folder)
    more = replace(OURS, users=(*OURS.users, "newcomer"))
    with pytest.raises(AwsError, match="shop/kafka/newcomer is missing"):
        clients.write(aws, more, TOPOLOGY, OUTPUTS, folder)
    assert not folder.exists()
