"""Settings survive the properties format of Kafka's tools, are refused with a remedy, and never show a password."""

import shutil
from dataclasses import replace
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopstream.errors import SettingsError, UsageError
from shopstream.settings import ClientSettings, Secret, for_user, parse_properties

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
SETTINGS = ClientSettings("localhost:9092", username="till", password=Secret("s3cr3t"))

# What a generated or a typed password may hold. Java reads properties as ISO 8859-1, so Kafka's tools know no others.
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)
hosts = st.from_regex(r"[a-z0-9.-]{1,20}:[0-9]{1,5}(,[a-z0-9.-]{1,20}:[0-9]{1,5}){0,2}", fullmatch=True)
settings = st.builds(
    ClientSettings,
    bootstrap_servers=hosts,
    security_protocol=st.sampled_from(["SASL_SSL", "SASL_PLAINTEXT"]),
    sasl_mechanism=st.sampled_from(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
    username=words,
    password=words.map(Secret),
    group_protocol=st.sampled_from(["consumer", "classic"]),
)


def read(text, tmp_path, name="client.properties"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return ClientSettings.from_properties(path)


class TestRoundTrip:
    @given(settings)
    def test_what_is_written_is_read_back(self, settings):
        assert ClientSettings.from_mapping(parse_properties(settings.to_properties()), "text") == settings

    @pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
    def test_without_sasl_too(self, protocol):
        settings = ClientSettings("a:1", security_protocol=protocol, sasl_mechanism=None)
        assert ClientSettings.from_mapping(parse_properties(settings.to_properties()), "text") == settings

    def test_with_a_certificate_authority(self, tmp_path):
        ca = tmp_path / "a folder" / "ca.pem"
        ca.parent.mkdir()
        shutil.copy(certifi.where(), ca)
        assert read(replace(SETTINGS, ca=ca).to_properties(), tmp_path).ca == ca

    def test_with_the_authority_as_a_text(self):
        settings = replace(SETTINGS, ca_pem=Path(certifi.where()).read_text(encoding="utf-8")[:4000], ca=None)
        assert ClientSettings.from_mapping(parse_properties(settings.to_properties()), "text") == settings
        assert settings.to_librdkafka()["ssl.ca.pem"] == settings.ca_pem
        assert "ssl.ca.location" not in replace(settings, ca=Path("/ca.pem")).to_librdkafka()

    def test_the_text_is_what_kafka_s_tools_take(self):
        text = replace(SETTINGS, username='t"i\\l l', ca=Path("/ca.pem")).to_properties()
        assert text.splitlines() == [
            "bootstrap.servers=localhost:9092",
            "security.protocol=SASL_SSL",
            "sasl.mechanism=SCRAM-SHA-512",
            f'sasl.jaas.config={SCRAM} required username="t\\\\"i\\\\\\\\l l" password="s3cr3t";',
            "ssl.truststore.type=PEM",
            "ssl.truststore.location=/ca.pem",
            "group.protocol=consumer",
        ]


class TestProperties:
    """The rules of java.util.Properties.load."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a=1\nb:2\nc 3\n", {"a": "1", "b": "2", "c": "3"}),
            ("  a  =  1  2 ", {"a": "1  2 "}),
            ("# note\n! note\n\n   # note\na=1", {"a": "1"}),
            ("a=1\\\n   2\\\n3", {"a": "123"}),
            ("a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
            ("a=x=y:z", {"a": "x=y:z"}),
            ("a\\=b\\ c=1", {"a=b c": "1"}),
            ("a=\\u00e9\\t\\n\\q", {"a": "é\t\nq"}),
            ("a", {"a": ""}),
            ("a=", {"a": ""}),
            ("a=1\na=2", {"a": "2"}),
            ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
            ("a=1\\\n# no note", {"a": "1# no note"}),
            ("", {}),
        ],
    )
    def test_each_rule(self, text, expected):
        assert parse_properties(text) == expected

    @given(st.text())
    def test_no_text_can_crash_it(self, text):
        assert isinstance(parse_properties(text), dict)


class TestReading:
    @pytest.mark.parametrize(
        "jaas",
        [
            f'{SCRAM} required username="till" password="s3cr3t";',
            f"{SCRAM} required username=till password=s3cr3t;",
            f'{SCRAM} required password="s3cr3t"   username = "till" ;',
            f'{SCRAM} required serviceName="k" username="till" password="s3cr3t" tokenauth="true";',
        ],
    )
    def test_the_user_stands_in_the_jaas_line(self, jaas):
        properties = {
            "bootstrap.servers": "localhost:9092",
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": jaas,
        }
        assert ClientSettings.from_mapping(properties, "text") == SETTINGS

    @pytest.mark.parametrize(
        "password", ['a "quoted" one', "back\\slash", "username=eve", "a;b", " ", 'x"; username="eve']
    )
    def test_a_password_may_hold_what_jaas_gives_a_meaning(self, password):
        settings = replace(SETTINGS, password=Secret(password))
        assert ClientSettings.from_mapping(parse_properties(settings.to_properties()), "text") == settings

    def test_librdkafka_s_names_are_understood(self, tmp_path):
        shutil.copy(certifi.where(), tmp_path / "ca.pem")
        found = read(
            "bootstrap.servers=localhost:9092\nsecurity.protocol=SASL_SSL\nsasl.mechanisms=SCRAM-SHA-512\n"
            "sasl.username=till\nsasl.password=s3cr3t\nssl.ca.location=ca.pem\n",
            tmp_path,
        )
        assert found == replace(SETTINGS, ca=tmp_path / "ca.pem")

    def test_the_default_is_plaintext_as_kafka_has_it(self):
        found = ClientSettings.from_mapping({"bootstrap.servers": "a:1"}, "text")
        assert (found.security_protocol, found.sasl_mechanism, found.username) == ("PLAINTEXT", None, None)

    def test_a_relative_pem_path_counts_from_the_file_that_names_it(self, tmp_path):
        shutil.copy(certifi.where(), tmp_path / "ca.pem")
        text = "bootstrap.servers=a:1\nsecurity.protocol=SSL\nssl.truststore.type=pem\nssl.truststore.location=ca.pem\n"
        assert read(text, tmp_path).ca == tmp_path / "ca.pem"

    def test_a_file_without_certificates_is_refused_before_any_client_meets_it(self, tmp_path):
        (tmp_path / "ca.pem").write_text("not a certificate")
        with pytest.raises(SettingsError, match=r"ca\.pem holds no PEM certificates"):
            read("bootstrap.servers=a:1\nsecurity.protocol=SSL\nssl.ca.location=ca.pem\n", tmp_path)

    def test_an_absolute_one_stays(self, tmp_path):
        ca = tmp_path / "ca.pem"
        shutil.copy(certifi.where(), ca)
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        text = f"bootstrap.servers=a:1\nsecurity.protocol=SSL\nssl.ca.location={ca}\n"
        assert read(text, folder).ca == ca

    @pytest.mark.parametrize(
        ("text", "problem", "remedy"),
        [
            ("", "bootstrap.servers is missing", "add the brokers, as host:port,host:port"),
            ("bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL", "sasl.mechanism is None", "use one of PLAIN, SCRAM"),
            (
                "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=GSSAPI",
                "sasl.mechanism is 'GSSAPI'",
                "use one of PLAIN, SCRAM",
            ),
            (
                "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=till",
                "SASL_SSL needs a user",
                "add sasl.jaas.config, or sasl.username and sasl.password",
            ),
            (
                "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=password=s3cr3t;",
                "SASL_SSL needs a user",
                "add sasl.jaas.config",
            ),
            ("bootstrap.servers=a:1\ngroup.protocol=new", "group.protocol is 'new'", "use consumer or classic"),
            (
                "bootstrap.servers=a:1\nssl.truststore.location=ca.jks",
                "ssl.truststore.type is JKS",
                "convert the trust store to PEM",
            ),
            (
                "bootstrap.servers=a:1\nssl.ca.location=none.pem",
                "none.pem do not exist",
                "correct the path",
            ),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_file_and_remedy(self, tmp_path, text, problem, remedy):
        with pytest.raises(SettingsError) as caught:
            read(text, tmp_path)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'client.properties'}: ")
        assert problem in message
        assert remedy in message
        assert "s3cr3t" not in message

    def test_a_file_that_cannot_be_read(self, tmp_path):
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        for path in (tmp_path / "none", tmp_path, tmp_path / "binary"):
            with pytest.raises(SettingsError, match=r"cannot be read .*: name a Kafka client properties file"):
                ClientSettings.from_properties(path)

    def test_it_is_the_user_s_error(self):
        assert issubclass(SettingsError, UsageError)


class TestUsers:
    def test_another_user_s_file_lies_beside(self, tmp_path):
        read(SETTINGS.to_properties(), tmp_path, "till.properties")
        assert for_user(tmp_path / "admin.properties", "till") == SETTINGS

    def test_its_absence_is_told_with_the_name_that_is_expected(self, tmp_path):
        with pytest.raises(SettingsError, match=r"till.properties: not found: .*beside admin.properties"):
            for_user(tmp_path / "admin.properties", "till")

    def test_another_user_at_the_same_cluster(self):
        other = SETTINGS.with_user("eve", Secret("x"))
        assert other == replace(SETTINGS, username="eve", password=Secret("x"))


class TestSecrets:
    def test_a_secret_shows_itself_only_when_asked(self):
        secret = Secret("s3cr3t")
        shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032
        assert all("s3cr3t" not in text for text in [*shown, repr(SETTINGS), str(SETTINGS), repr([SETTINGS])])
        assert secret.reveal() == "s3cr3t"

    def test_equal_secrets_are_equal(self):
        assert Secret("a") == Secret("a") != Secret("b")


class TestLibrdkafka:
    def test_every_setting_has_its_key(self):
        assert replace(SETTINGS, ca=Path("/ca.pem")).to_librdkafka() == {
            "bootstrap.servers": "localhost:9092",
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": "till",
            "sasl.password": "s3cr3t",
            "ssl.ca.location": "/ca.pem",
        }

    def test_what_is_not_set_is_left_to_librdkafka(self):
        settings = ClientSettings("a:1", security_protocol="PLAINTEXT", sasl_mechanism=None)
        assert settings.to_librdkafka() == {"bootstrap.servers": "a:1", "security.protocol": "PLAINTEXT"}
