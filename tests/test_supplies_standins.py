"""The stand-ins refuse what the real services would not take, and answer on the paths that the playbooks ask."""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.request

import pytest

from shopstream.rehearsal.standins import control_center, control_center_properties, grafana, httpd

PROPERTIES = """\
# a comment
bootstrap.servers=a:9093,b:9093
confluent.controlcenter.rest.listeners=http://0.0.0.0:9021
confluent.controlcenter.rest.authentication.method=BASIC
confluent.controlcenter.rest.authentication.realm=c3
confluent.controlcenter.rest.authentication.roles=Administrators,Restricted
confluent.controlcenter.streams.security.protocol=SASL_SSL
confluent.controlcenter.streams.sasl.mechanism=SCRAM-SHA-512
confluent.controlcenter.streams.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p=1";
confluent.controlcenter.streams.ssl.truststore.type=PEM
confluent.controlcenter.streams.ssl.truststore.location=/ca.pem
"""


def read(tmp_path, text=PROPERTIES):
    path = tmp_path / "c3.properties"
    path.write_text(text)
    return control_center_properties.read(path)


def test_the_credentials_of_the_properties_become_a_clients(tmp_path):
    settings = control_center_properties.client(read(tmp_path))
    assert settings["sasl.username"] == "u"
    assert settings["sasl.password"] == "p=1"
    assert settings["ssl.ca.location"] == "/ca.pem"


@pytest.mark.parametrize(
    "line", ["confluent.controlcenter.nonsense=1", "confluent.controlcenter.streams.nonsense=1", "a.b=c"]
)
def test_an_unknown_property_is_named(tmp_path, line):
    with pytest.raises(control_center_properties.PropertiesError, match=line.partition("=")[0]):
        read(tmp_path, PROPERTIES + line + "\n")


def test_the_accounts_come_from_the_login_configuration(tmp_path):
    (tmp_path / "passwords").write_text("admin: secret,Administrators\nother: x,Nobody\n")
    jaas = tmp_path / "c3.jaas"
    jaas.write_text(f'c3 {{\n  Module required\n  file="{tmp_path}/passwords";\n}};\n')
    assert control_center_properties.accounts(read(tmp_path), jaas) == {"admin": "secret"}
    with pytest.raises(control_center_properties.PropertiesError):
        control_center_properties.accounts(read(tmp_path), None)


def test_control_center_is_not_ready_before_it_has_reached_the_cluster(tmp_path):
    cluster = control_center.Cluster({}, read(tmp_path))
    assert cluster.reply("/").status == 503
    cluster.brokers = [1, 2]
    cluster.hear(b'{"broker":2}')
    cluster.hear(b"not json")
    assert cluster.reply("/").status == 200
    assert cluster.reply("/brokers.json").body == {"brokers": [1, 2], "with_metrics": [2]}


@pytest.fixture
def grafana_at(tmp_path):
    for kind in ("datasources", "dashboards"):
        (tmp_path / "provisioning" / kind).mkdir(parents=True)
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards/k.json").write_text(json.dumps({"uid": "k", "title": "Kafka"}))
    (tmp_path / "grafana.ini").write_text("[security]\nadmin_user = boss\nadmin_password = first%\n")
    sources = {"datasources": [{"uid": "p", "url": "http://127.0.0.1:9"}]}
    (tmp_path / "provisioning/datasources/s.yaml").write_text(json.dumps(sources))
    boards = {"providers": [{"options": {"path": str(tmp_path / "boards")}}]}
    (tmp_path / "provisioning/dashboards/s.yaml").write_text(json.dumps(boards))
    made = grafana.Grafana(tmp_path / "grafana.ini", tmp_path, tmp_path / "provisioning")
    made.initialise()
    with httpd.server(("127.0.0.1", 0), made.reply, made.accounts, "Grafana") as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield made, f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def status(url, password=None):
    token = base64.b64encode(f"boss:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}"} if password else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def test_grafana_asks_for_the_password_and_keeps_it_until_it_is_reset(grafana_at):
    made, url = grafana_at
    assert status(f"{url}/api/health")[0] == 200
    assert status(f"{url}/api/search")[0] == status(f"{url}/api/search", "wrong")[0] == 401
    assert status(f"{url}/api/search", "first%")[1][0]["uid"] == "k"
    made.reset("second")
    assert status(f"{url}/api/search", "first%")[0] == 401
    assert status(f"{url}/api/dashboards/uid/k", "second")[1]["dashboard"]["title"] == "Kafka"
    assert status(f"{url}/api/dashboards/uid/none", "second")[0] == 404
    assert status(f"{url}/api/datasources/proxy/uid/p/api/v1/query", "second")[0] == 502
