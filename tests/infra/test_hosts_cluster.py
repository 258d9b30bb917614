"""The unchanged playbooks make a cluster of booted machines: secured, monitored, and the same when run again.

Boots eight machines (root, Debian or Ubuntu, 4 GB). What hurts them is in test_hosts_faults.py.
"""

import json
import sys

import pytest

from shopstream import topology
from shopstream.aws.ownership import ACCOUNTS
from tests.infra.hosts_world import BROKERS, PLAYBOOKS, ROOT, recap, words

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(1500)]


def test_no_password_stands_in_a_journal(world):
    """Ansible's modules write their arguments there, unless they are told not to."""
    names = [
        *(f"kafka/{user}" for user in topology.load(ROOT / "topology.yaml").users),
        *(f"hosts/{each}" for each in ACCOUNTS),
    ]
    passwords = {name: world.secret(name)["password"] for name in names}
    for host in world.hosts.status().hosts:
        said = world.hosts.run(host.name, ["journalctl", "--no-pager", "--output=cat"]).stdout
        assert len(said) > 1000
        assert [name for name, password in passwords.items() if password in said] == []


def test_again_it_changes_nothing(world):
    hosts = recap(world.play("site.yml"))
    assert len(hosts.keys() - {"localhost"}) == 8
    assert {name: each["changed"] for name, each in hosts.items()} == dict.fromkeys(hosts, 0)


def test_the_cluster_is_what_it_should_be(world):
    said = words(world.play("verify.yml"))
    assert "3 replicas each, all in sync" in said
    assert "order_placed" in said
    assert "a session needs SASL" in said


def test_a_client_outside_may_do_its_own_work_and_nothing_else(world):
    """From the operator's machine, as each service; without TLS and with a wrong password too."""
    servers = ",".join(f"{guest.private_ip}:9094" for guest in world.hosts.status().hosts if guest.name in BROKERS)
    passwords = {
        user: world.secret(f"kafka/{user}")["password"]
        for user in (
            *("order_generator", "payment_processor", "inventory_manager"),
            *("shipping_handler", "notification_handler"),
        )
    }
    probe = PLAYBOOKS / "files" / "service_probe.py"
    authority = world.clients / "ca.pem"
    said = world.operator(sys.executable, probe, ROOT / "topology.yaml", servers, authority, text=json.dumps(passwords))
    assert "payment_processor reads order_placed: allowed" in said
    assert "payment_processor writes inventory_result: denied" in said
    assert "with a wrong password: wrong password" in said
    assert "a client without TLS: no connection" in said


def test_orders_flow_through_it(world):
    with world.flow("first", orders=4000, rate=200):
        pass


def test_it_is_watched(world):
    """Every panel of every dashboard has data, and Control Center's stand-in has the metrics of every broker."""
    hosts = {host.name: host.private_ip for host in world.hosts.status().hosts}
    query = [sys.executable, ROOT / "scripts" / "query_dashboards.py"]
    ask = [*query, "--prometheus", f"http://{hosts['monitoring']}:9090"]
    # A rate needs a minute of figures; the script ends with 1 until every query has data.
    world.wait(lambda: world.hosts.run("operator", list(map(str, ask))).returncode == 0, "a panel has no data", 180)
    web = world.secret("hosts/control_center_web")
    get = ["curl", "-sf", "-u", f"{web['username']}:{web['password']}"]
    brokers = json.loads(world.operator(*get, f"http://{hosts['control-center']}:9021/brokers.json"))
    assert brokers == {"brokers": [1, 2, 3], "with_metrics": [1, 2, 3]}
    assert (
        json.loads(world.operator("curl", "-sf", f"http://{hosts['monitoring']}:3000/api/health"))["database"] == "ok"
    )
