"""What was remembered and what is asked for come together, or are refused with the remedy."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from shopstream.cluster import ports
from shopstream.cluster.layout import DEFAULT_PORT, Layout, agree
from shopstream.errors import UsageError

IDLE = {"running": False, "data": False}


@pytest.fixture
def free():
    """A port from which on some are free."""
    return ports.pick(1, 24000, ())[0]


def fresh(port, brokers=1):
    return agree(None, brokers=brokers, port=port, **IDLE)


def all_ports(layout):
    return [port for node in layout.nodes for port in (node.client_port, node.internal_port, node.controller_port)]


@pytest.mark.parametrize("brokers", [1, 3])
def test_a_new_cluster_has_consecutive_client_ports_and_no_port_twice(free, brokers):
    layout = fresh(free, brokers)
    assert [node.client_port for node in layout.nodes] == list(range(free, free + brokers))
    assert [node.id for node in layout.nodes] == list(range(1, brokers + 1))
    assert len(set(all_ports(layout))) == 3 * brokers
    assert layout.bootstrap_servers == ",".join(f"127.0.0.1:{free + index}" for index in range(brokers))


def test_the_defaults_are_one_broker_and_9094():
    layout = agree(None, brokers=None, port=None, **IDLE)
    assert [node.client_port for node in layout.nodes] == [DEFAULT_PORT]


def test_a_layout_survives_being_written_and_read(free):
    layout = fresh(free, 3)
    assert Layout.from_json(layout.to_json()) == layout


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"cluster_id": "x", "nodes": []}', '{"cluster_id": 1, "nodes": [{}]}']
)
def test_a_damaged_layout_is_not_taken_for_one(text):
    with pytest.raises(ValueError, match=r"."):
        Layout.from_json(text)


@pytest.mark.parametrize("state", [{"running": True, "data": True}, {"running": False, "data": True}, IDLE])
def test_what_is_known_stays_when_nothing_else_is_asked_for(free, state):
    layout = fresh(free)
    assert agree(layout, brokers=None, port=None, **state) == layout
    assert agree(layout, brokers=1, port=free, **state) == layout


def test_another_number_of_brokers_is_refused_once_there_are_data(free):
    layout = fresh(free)
    with pytest.raises(UsageError, match=r"1 broker and holds data.*3 brokers.*down --wipe"):
        agree(layout, brokers=3, port=None, running=False, data=True)
    assert len(agree(layout, brokers=3, port=None, **IDLE).nodes) == 3


def test_another_port_is_refused_while_a_broker_runs(free):
    layout = fresh(free)
    with pytest.raises(UsageError, match=rf"port {free}.*down.*--port {free + 5}"):
        agree(layout, brokers=None, port=free + 5, running=True, data=True)
    moved = agree(layout, brokers=None, port=free + 5, running=False, data=True)
    assert moved.port == free + 5
    assert moved.cluster_id == layout.cluster_id


def test_hidden_ports_that_someone_took_are_chosen_anew(free):
    layout = fresh(free)
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", layout.nodes[0].internal_port))
        rival.listen()
        assert agree(layout, brokers=None, port=None, running=True, data=True) == layout
        moved = agree(layout, brokers=None, port=None, running=False, data=True)
    assert moved.port == layout.port
    assert moved.nodes[0].internal_port != layout.nodes[0].internal_port


@pytest.mark.parametrize("options", [{"brokers": 2}, {"port": 80}, {"port": 65535}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(UsageError, match="choose"):
        agree(None, **{"brokers": None, "port": None, **options}, **IDLE)


def test_cluster_ids_are_kafkas_uuids_and_never_the_same(free):
    ids = {fresh(free).cluster_id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)
    assert json.loads(replace(fresh(free), cluster_id="x").to_json())["cluster_id"] == "x"


def test_the_holder_of_a_port_is_named():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.answers(port)
        assert "process" in ports.holder(port) or ports.holder(port) == "another program"
    assert not ports.answers(port)
