"""A function says which variable or secret is missing and who sets it, fetches secrets once, and never shows one."""

import json

import boto3
import pytest
from moto import mock_aws

from shopstream.errors import Retriable, SettingsError
from shopstream.runtime.lambda_settings import KafkaAccess, LambdaSettings
from shopstream.runtime.secrets_manager import SecretsManager

ENVIRON = {
    "KAFKA_BOOTSTRAP_SERVERS": "a:9094,b:9094",
    "KAFKA_USER_SECRET_ARN": "arn:user",
    "KAFKA_CA_SECRET_ARN": "arn:ca",
    "STATE_TABLE": "orders",
}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SECRETS = {
    "arn:user": json.dumps({"username": "till", "password": "s3cr3t"}),
    "arn:ca": json.dumps({"certificate": CERTIFICATE}),
}


class Vault:
    def __init__(self, **changes):
        self.secrets = SECRETS | {f"arn:{name}": text for name, text in changes.items()}
        self.read = []

    def __call__(self, arn):
        self.read.append(arn)
        return self.secrets[arn]


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variable", "attribute"),
        [
            ("KAFKA_BOOTSTRAP_SERVERS", "bootstrap_servers"),
            ("KAFKA_USER_SECRET_ARN", "user_secret"),
            ("KAFKA_CA_SECRET_ARN", "ca_secret"),
            ("STATE_TABLE", "state_table"),
        ],
    )
    @pytest.mark.parametrize("value", [None, "", " "])
    def test_what_is_missing_is_named_when_it_is_needed(self, variable, attribute, value):
        settings = LambdaSettings(ENVIRON | {variable: value} if value is not None else {})
        with pytest.raises(SettingsError, match=rf"{variable} is missing: .*lambdas\.tf"):
            getattr(settings, attribute)
        assert getattr(LambdaSettings(ENVIRON), attribute) == ENVIRON[variable]

    def test_the_rest_has_defaults(self):
        settings = LambdaSettings({})
        assert (settings.namespace, settings.seed, settings.orders_per_invocation) == ("shopstream", None, 1)
        assert settings.reports_batch_item_failures is False

    def test_and_can_be_set(self):
        settings = LambdaSettings(
            {
                "METRICS_NAMESPACE": "n",
                "SEED": "-7",
                "ORDERS_PER_INVOCATION": "50",
                "REPORT_BATCH_ITEM_FAILURES": "True",
            }
        )
        assert (settings.namespace, settings.seed, settings.orders_per_invocation) == ("n", -7, 50)
        assert settings.reports_batch_item_failures is True

    @pytest.mark.parametrize(
        ("variable", "attribute"),
        [
            ("SEED", "seed"),
            ("ORDERS_PER_INVOCATION", "orders_per_invocation"),
            ("REPORT_BATCH_ITEM_FAILURES", "reports_batch_item_failures"),
        ],
    )
    @pytest.mark.parametrize("value", ["many", "1.5", "1e3", "9" * 50])
    def test_what_cannot_be_used_is_refused(self, variable, attribute, value):
        with pytest.raises(SettingsError, match=f"{variable} is '{value}': it must be"):
            getattr(LambdaSettings({variable: value}), attribute)


class TestAccess:
    def test_it_is_the_service_s_user_with_scram_over_tls(self):
        client = KafkaAccess(LambdaSettings(ENVIRON), Vault()).client()
        config = client.to_librdkafka()
        assert config == {
            "bootstrap.servers": "a:9094,b:9094",
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": "till",
            "sasl.password": "s3cr3t",
            "ssl.ca.pem": CERTIFICATE,
        }
        assert "s3cr3t" not in repr(client)

    def test_secrets_are_fetched_once_and_again_after_a_refusal(self):
        vault = Vault()
        access = KafkaAccess(LambdaSettings(ENVIRON), vault)
        assert not vault.read
        assert access.client() is access.client()
        assert vault.read == ["arn:user", "arn:ca"]
        vault.secrets["arn:user"] = json.dumps({"username": "till", "password": "rotated"})
        access.forget()
        assert access.client().password.reveal() == "rotated"

    @pytest.mark.parametrize(
        "text",
        [
            "s3cr3t",
            '"s3cr3t"',
            '["s3cr3t"]',
            '{"password": "s3cr3t"}',
            '{"username": "s3cr3t"}',
            '{"username": "", "password": "s3cr3t"}',
            '{"username": "s3cr3t", "password": ""}',
            '{"username": "s3cr3t", "password": null}',
            '{"username": "s3cr3t", "password": 5}',
            '{"username": "s3cr3t\ud800", "password": "s3cr3t"}',
            '{"username": "s3cr3t",',
            "",
        ],
    )
    def test_a_user_that_is_none_is_refused_and_not_shown(self, text):
        with pytest.raises(
            SettingsError, match=r'arn:user is not what .*\{"username": "…", "password": "…"\}'
        ) as caught:
            KafkaAccess(LambdaSettings(ENVIRON), Vault(user=text)).client()
        error = caught.value
        while error is not None:
            assert "s3cr3t" not in str(error)
            error = error.__cause__ or error.__context__

    @pytest.mark.parametrize("text", ["{}", '{"certificate": ""}', '{"certificate": "none"}', CERTIFICATE])
    def test_so_is_an_authority_that_is_none(self, text):
        with pytest.raises(SettingsError, match="arn:ca"):
            KafkaAccess(LambdaSettings(ENVIRON), Vault(ca=text)).client()


class TestSecretsManager:
    @pytest.fixture
    def client(self):
        with mock_aws():
            yield boto3.client("secretsmanager", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")

    def test_a_secret_by_its_arn(self, client):
        arn = client.create_secret(Name="s", SecretString="text")["ARN"]
        assert SecretsManager(client).read(arn) == "text"
        client.put_secret_value(SecretId=arn, SecretString="next")
        assert SecretsManager(client).read(arn) == "next"

    def test_one_that_cannot_be_fetched_may_be_there_later(self, client):
        with pytest.raises(Retriable, match="secretsmanager:GetSecretValue"):
            SecretsManager(client).read("arn:aws:secretsmanager:us-east-1:123456789012:secret:none-abcdef")

    def test_a_binary_one_is_refused(self, client):
        arn = client.create_secret(Name="s", SecretBinary=b"s3cr3t")["ARN"]
        with pytest.raises(SettingsError, match="is binary: store it as a text") as caught:
            SecretsManager(client).read(arn)
        assert "s3cr3t" not in str(caught.value)
