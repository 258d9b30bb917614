"""What the local cluster answers before any broker runs: no home, no room, damaged files, passwords kept safe."""

from __future__ import annotations

import shutil
from pathlib import Path

import certifi
import pytest
from click.testing import CliRunner

from shopstream.cli import cluster as commands
from shopstream.cluster import home, local, passwords, ports
from shopstream.cluster.guard import exclusive
from shopstream.cluster.home import Home, write_private
from shopstream.cluster.jvm import Jvm
from shopstream.cluster.layout import Layout, Node
from shopstream.cluster.local import LocalCluster
from shopstream.errors import ClusterError, UsageError
from shopstream.settings import ClientSettings

LAYOUT = Layout("id", (Node(1, 9094, 9104, 9105),))


@pytest.fixture
def jvm(tmp_path):
    """A JVM that cannot even be started."""
    return Jvm(Path("/does/not/exist/java"), "0", (), tmp_path)


@pytest.fixture
def cluster(tmp_path, jvm):
    return LocalCluster(tmp_path / "home", port=ports.pick(1, 26000, ())[0], jvm=jvm)


def test_the_home_is_named_by_the_environment_or_lies_in_the_directory(tmp_path):
    assert home.find({}, tmp_path).root == tmp_path / ".shopstream"
    assert home.find({home.VARIABLE: "/elsewhere"}, tmp_path).root == Path("/elsewhere")


def test_a_cluster_that_never_was_is_said_so(cluster):
    assert cluster.down() == ()
    assert not cluster.status().up
    assert cluster.status().brokers == ()
    assert not cluster.home.root.exists(), "asking changes nothing"
    with pytest.raises(ClusterError, match="shopstream up"):
        _ = cluster.bootstrap_servers
    with pytest.raises(UsageError, match="shopstream up"):
        cluster.properties("auditor")
    with pytest.raises(UsageError, match="does not run"):
        cluster.kill_broker(1)


def test_a_full_disk_is_refused_before_anything_starts(cluster, monkeypatch):
    usage = shutil._ntuple_diskusage(10**12, 10**12 - 10**6, 10**6)
    monkeypatch.setattr(local.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ClusterError, match=r"disk .* is full.*make room"):
        cluster.up()


def test_a_home_that_cannot_be_made_is_named(tmp_path, jvm):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(ClusterError, match=f"{root}.*{home.VARIABLE}"):
            LocalCluster(root, jvm=jvm).up()


def test_an_unwritable_home_is_named(tmp_path, jvm, monkeypatch):
    monkeypatch.setattr(home.os, "access", lambda *_: False)  # root, who may run this, could write anywhere
    with pytest.raises(ClusterError, match=home.VARIABLE):
        LocalCluster(tmp_path / "home", jvm=jvm).up()


def test_a_damaged_layout_is_named_and_wiped_away(cluster):
    cluster.home.create()
    cluster.home.layout.write_text("{")
    for call in (cluster.up, cluster.status):
        with pytest.raises(ClusterError, match=r"cluster\.json.*down --wipe"):
            call()
    cluster.down(wipe=True)
    assert cluster.status().brokers == ()


def test_a_java_that_cannot_run_is_an_error_with_a_reason(cluster):
    with pytest.raises(ClusterError, match="java"):
        cluster.up()
    assert not cluster.status().up


def test_only_one_at_a_time_changes_a_home(cluster):
    cluster.home.create()
    with exclusive(cluster.home.guard):
        for call in (cluster.up, cluster.down):
            with pytest.raises(ClusterError, match="at work"):
                call()


def test_everything_private_is_private(tmp_path):
    place = Home(tmp_path / "home")
    place.create()
    assert {p.stat().st_mode & 0o777 for p in (place.root, place.tls, place.clients, place.brokers)} == {0o700}
    write_private(place.clients / "x", "secret")
    assert (place.clients / "x").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in place.clients.iterdir()] == ["x"]


def test_passwords_are_made_once_and_never_shown(tmp_path):
    place = Home(tmp_path)
    place.create()
    shutil.copy(certifi.where(), place.ca)
    settings, new = passwords.collect(place, LAYOUT, ("a", "b"))
    assert new == {"a", "b"}
    assert not list(place.clients.iterdir()), "nothing is kept before the cluster knows it"
    passwords.save(place, settings)

    again, new = passwords.collect(place, LAYOUT, ("a", "b", "c"))
    assert new == {"c"}
    assert {user: again[user] for user in settings} == settings
    secret = settings["a"].password.reveal()
    assert len(secret) >= 32
    assert secret != settings["b"].password.reveal()
    assert secret not in repr(settings) + str(settings["a"])

    moved, _ = passwords.collect(place, Layout("id", (Node(1, 9999, 1, 2),)), ("a",))
    passwords.save(place, moved)
    read = ClientSettings.from_properties(place.properties("a"))
    assert read.bootstrap_servers == "127.0.0.1:9999"
    assert read.password.reveal() == secret


def test_the_commands_answer_without_a_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "none"))
    run = CliRunner()
    status = run.invoke(commands.status)
    assert status.exit_code == 1
    assert "shopstream up" in status.stdout
    assert run.invoke(commands.status, ["--json"]).exit_code == 1
    down = run.invoke(commands.down)
    assert (down.exit_code, down.stdout) == (0, "nothing was running\n")
    assert isinstance(run.invoke(commands.env).exception, ClusterError)
    assert run.invoke(commands.up, ["--brokers", "2"]).exit_code == 2
