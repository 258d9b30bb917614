"""The brokers' configuration is closed by default, safe with three brokers, and holds no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from shopstream.cluster import certificates, config
from shopstream.cluster.home import Home
from shopstream.cluster.layout import Layout, Node
from shopstream.settings import parse_properties

HOME = Home(Path("/srv/a directory"))


def properties(brokers, **changes):
    nodes = tuple(Node(index, 9093 + index, 9200 + index, 9300 + index) for index in range(1, brokers + 1))
    arguments = {"superusers": ("admin",), "largest_message": 2_000_000, **changes}
    return [config.server_properties(HOME, Layout("id", nodes), node, **arguments) for node in nodes]


@pytest.mark.parametrize("brokers", [1, 3])
def test_nothing_is_open(brokers):
    for one in properties(brokers):
        protocols = dict(pair.split(":") for pair in one["listener.security.protocol.map"].split(","))
        assert set(protocols.values()) <= {"SASL_SSL", "SSL"}
        assert all("://127.0.0.1:" in listener for listener in one["listeners"].split(","))
        for listener, protocol in protocols.items():
            if protocol == "SSL":
                assert one[f"listener.name.{listener.lower()}.ssl.client.auth"] == "required"
        assert one["authorizer.class.name"].endswith("StandardAuthorizer")
        assert one["allow.everyone.if.no.acl.found"] == "false"
        assert one["auto.create.topics.enable"] == "false"


def test_the_controllers_listener_is_not_advertised_to_clients():
    for one in properties(3):
        assert "CONTROLLER" not in one["advertised.listeners"]


def test_super_users_are_the_brokers_certificates_and_those_of_the_topology():
    for one in properties(3, superusers=("admin", "root")):
        names = one["super.users"].split(";")
        assert names == [*(f"User:{certificates.principal(node)}" for node in (1, 2, 3)), "User:admin", "User:root"]


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_every_internal_topic_is_as_safe_as_the_cluster_allows(brokers, copies, in_sync):
    for one in properties(brokers):
        assert {value for key, value in one.items() if key.endswith("replication.factor")} == {copies}
        assert {value for key, value in one.items() if key.endswith((".min.isr", "min.insync.replicas"))} == {in_sync}
        assert one["unclean.leader.election.enable"] == "false"


def test_the_largest_message_of_any_topic_gets_through_and_is_copied():
    for largest in (1000, 5_000_000):
        (one,) = properties(1, largest_message=largest)
        assert int(one["message.max.bytes"]) == largest
        assert int(one["replica.fetch.max.bytes"]) >= largest


def test_brokers_agree_on_everything_but_themselves():
    first, second, _ = properties(3)
    different = {key for key in first if first[key] != second[key]}
    assert different == {"node.id", "log.dirs", "listeners", "advertised.listeners", "ssl.keystore.location"}


def test_the_file_reads_back_as_it_was_meant():
    (one,) = properties(1)
    assert parse_properties(config.render(one)) == one
    assert parse_properties(config.render({"path": "C:\\x"})) == {"path": "C:\\x"}
