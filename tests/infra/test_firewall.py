"""The groups' rules as the kernel applies them: a real bridge, real sockets, in a namespace of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal import firewall
from shopstream.rehearsal.firewall import Operator, Service
from shopstream.rehearsal.hosts.namespace import Namespace
from tests.test_firewall import RULES, site

pytestmark = [
    pytest.mark.infra,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="nftables is not installed"),
]

GATEWAY = "10.20.0.1"
# As a guest has them: the private address, and the public one beside it.
HOSTS = {
    "kafka1": ("10.20.0.21", "198.51.100.21"),
    "kafka2": ("10.20.16.22", "198.51.100.22"),
    "zookeeper1": ("10.20.0.11", None),
    "lambdas": ("10.20.128.100", None),
}
PORTS = (22, 2182, 9092, 9094)
LISTEN = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("0.0.0.0", port))
    chosen.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        accepted = key.fileobj.accept()[0]
        accepted.sendall(b"x" * 300_000)
        accepted.close()
"""
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as connection:
        size = 0
        while part := connection.recv(65536):
            size += len(part)
    print("through" if size == 300_000 else size)
except TimeoutError:
    print("lost")
except OSError as error:
    print(error)
"""


class Net:
    """A bridge with hosts on it; the bridge's own stack is the operator's."""

    def __init__(self, stack):
        self.stack = stack
        self.bridge = self.made(f"shopstream-test-{os.getpid()}")
        self.bridge.run(["ip", "link", "set", "lo", "up"], "start")
        self.bridge.run(["ip", "link", "add", "bridge0", "type", "bridge", "forward_delay", "0"], "make a bridge")
        self.bridge.run(["ip", "address", "add", f"{GATEWAY}/16", "dev", "bridge0"], "address it")
        self.bridge.run(["ip", "link", "set", "bridge0", "up"], "start it")
        self.hosts = {name: self.host(number, *ips) for number, (name, ips) in enumerate(HOSTS.items())}
        self.listen(self.bridge, 80, 5001, 5002)
        for host in self.hosts.values():
            self.listen(host, *PORTS)

    def made(self, name):
        namespace = Namespace(name)
        namespace.create()
        self.stack.callback(namespace.delete)
        return namespace

    def host(self, number, private, public):
        namespace = self.made(f"{self.bridge.name}-{number}")
        cable = ["ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "host0"]
        self.bridge.run([*cable, "netns", str(namespace.path)], "lay a cable")
        self.bridge.run(["ip", "link", "set", f"v{number}", "master", "bridge0", "up"], "plug it in")
        namespace.run(["ip", "address", "add", f"{private}/16", "dev", "host0"], "address it")
        if public:
            namespace.run(["ip", "address", "add", f"{public}/32", "dev", "host0"], "address it")
            self.bridge.run(["ip", "route", "add", f"{public}/32", "dev", "bridge0"], "lead there")
        namespace.run(["ip", "link", "set", "host0", "up"], "start it")
        for _, other in HOSTS.values():
            if other and other != public:
                namespace.run(["ip", "route", "add", f"{other}/32", "dev", "host0"], "lead there")
        return namespace

    def listen(self, namespace, *ports):
        command = [sys.executable, "-c", LISTEN, *map(str, ports)]
        server = subprocess.Popen(namespace.entering(command), stdout=subprocess.PIPE, text=True)

        def end():
            server.kill()
            server.wait()
            server.stdout.close()

        self.stack.callback(end)
        assert server.stdout.readline() == "ready\n"

    def connect(self, source, address, port, patience=1.0):
        namespace = self.bridge if source == "operator" else self.hosts[source]
        command = [sys.executable, "-c", CONNECT, address, str(port), str(patience)]
        done = subprocess.run(namespace.entering(command), capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def net():
    with contextlib.ExitStack() as stack:
        yield Net(stack)


def services():
    address = IPv4Address(GATEWAY)
    return (
        Service("supplies", address, 80, internet=True, as_port=80),
        Service("tables", address, 5001, aws=frozenset({"dynamodb"})),
        Service("secrets", address, 5002, aws=frozenset({"secretsmanager"})),
    )


@pytest.fixture
def applied(net):
    def apply(rules=RULES):
        operator = Operator(here=(IPv4Address(GATEWAY),), seen_as=IPv4Address("203.0.113.7"))
        made = site(rules, operator=operator, services=services())
        firewall.apply(net.bridge, made)
        return made

    yield apply
    firewall.remove(net.bridge)


# Who, where to, on which port.
TRIED = [
    ("lambdas", "kafka1", 9094),
    ("lambdas", "kafka1", 9092),
    ("lambdas", "zookeeper1", 2182),
    ("kafka1", "kafka2", 9092),
    ("kafka2", "zookeeper1", 2182),
    ("zookeeper1", "kafka1", 9092),
    ("operator", "kafka1", 22),
    ("operator", "kafka2", 9094),
    ("kafka1", "supplies", 80),
    ("lambdas", "supplies", 80),
    ("lambdas", "tables", 5001),
    ("lambdas", "secrets", 5002),
    ("kafka1", "198.51.100.22", 9092),
]


def address_of(source, destination):
    if destination in HOSTS:
        private, public = HOSTS[destination]
        return public if source == "operator" else private
    return destination if destination[0].isdecimal() else GATEWAY


def test_without_the_firewall_all_of_it_gets_through(net):
    assert {net.connect(who, address_of(who, to), port) for who, to, port in TRIED} == {"through"}


def test_what_gets_through_is_what_is_explained_and_the_rest_is_reported(net, applied):
    made = applied()
    expected = {each: firewall.explain(made, *each).allowed for each in TRIED}
    assert 4 < sum(expected.values()) < len(TRIED) - 3
    seen = {each: net.connect(each[0], address_of(each[0], each[1]), each[2]) for each in TRIED}
    assert seen == {each: "through" if allowed else "lost" for each, allowed in expected.items()}
    found = {(each.source, each.destination, each.port) for each in firewall.blocked(net.bridge, made)}
    assert ("lambdas", "kafka1", 9092) in found
    assert ("operator", "kafka2", 9094) in found
    assert ("lambdas", "operator", 80) in found
    assert len(found) == len(TRIED) - sum(expected.values())


def test_a_rule_that_is_taken_away_closes_the_way(net, applied):
    applied()
    assert net.connect("lambdas", "10.20.0.21", 9094) == "through"
    made = applied([each for each in RULES if each["SecurityGroupRuleId"] != "sgr-kafka-in-9094-sg-lambdas"])
    assert net.connect("lambdas", "10.20.0.21", 9094) == "lost"
    (found,) = firewall.blocked(net.bridge, made)
    assert (found.source, found.destination, found.protocol, found.port) == ("lambdas", "kafka1", "tcp", 9094)


def test_afterwards_nothing_is_filtered(net, applied):
    applied()
    firewall.remove(net.bridge)
    assert net.connect("lambdas", "10.20.0.21", 9092) == "through"


def test_a_function_is_called_within_and_this_process_stays_outside(net):
    def names():
        return {name for _, name in socket.if_nameindex()}

    before = names()
    assert "bridge0" in net.bridge.call(names)
    assert names() == before
    with pytest.raises(ZeroDivisionError):
        net.bridge.call(lambda: 1 / 0)
    with pytest.raises(RehearsalError, match="no network namespace nobody"):
        Namespace("nobody").call(names)
    assert net.bridge in Namespace.below(net.bridge.name)
