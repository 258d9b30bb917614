"""The diagrams of docs/architecture.md show what topology.yaml and infra/terraform say, no more and no less."""

import re
from pathlib import Path

import pytest

from shopstream.topology import load

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TERRAFORM = ROOT / "infra" / "terraform"
TOPOLOGY = load()

_ARROW = re.compile(r"""\s+(?:--\s+"?(?P<solid>[^"]*?)"?\s+-->|-\.\s+"?(?P<dotted>[^"]*?)"?\s+\.->|-->|-\.->)\s+""")
_NODE = re.compile(r"(?P<name>\w+)\W*(?P<label>.*?)\W*\Z")


def diagram(heading, page=PAGE):
    """The first Mermaid block below a heading."""
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.search(r"```mermaid\n(.*?)```", below, re.DOTALL)[1]


def edges(text):
    """What points to what in a flowchart, with the arrow's label: `a & b -- "x" --> c` are two."""
    for line in text.splitlines():
        if arrow := _ARROW.search(line):
            for one in line[: arrow.start()].split("&"):
                for other in line[arrow.end() :].split("&"):
                    label = arrow["solid"] or arrow["dotted"] or ""
                    yield _NODE.match(one.strip())["name"], _NODE.match(other.strip())["name"], label


def labels(text):
    """The text of each node that has one."""
    found = {}
    for line in text.splitlines():
        for part in [line] if not _ARROW.search(line) else _ARROW.split(line):
            node = re.match(r'(?:subgraph )?(\w+)[\[(]+"?(.*?)"?[\])]+\Z', (part or "").strip())
            if node:
                found[node[1]] = node[2]
    return found


def flow(topology):
    """Who writes and reads what, bookkeeping included."""
    for service in topology.services.values():
        yield from ((service.name, topic) for topic in service.writes)
        yield from ((topic, service.name) for topic in service.reads)


def opened(security):
    """Which ports security.tf opens, as (who, to whom, port)."""

    def clients(name):
        body = re.search(rf"^  {name} = \{{\n(.*?)^  \}}", security, re.MULTILINE | re.DOTALL)[1]
        return re.findall(r"group = aws_security_group\.(\w+)(?:\[0\])?\.id, port = (\d+)", body)

    yield from ((group, "kafka", port) for group, port in clients("kafka_clients"))
    yield from ((group, "zookeeper", port) for group, port in clients("zookeeper_clients"))
    yield from (("monitoring", group, port) for group, port in clients("exporters"))
    yield from (("admin", group, port) for group, port in clients("operator_ports"))
    rules = re.findall(
        r'^resource "aws_vpc_security_group_ingress_rule" "(\w+)" \{(.*?)^\}', security, re.MULTILINE | re.DOTALL
    )
    ports = {name: re.search(r"to_port\s+= (\d+)", body) for name, body in rules}
    yield "admin", "hosts", ports["ssh_from_admin"][1]
    yield "lambdas", "endpoints", ports["endpoints"][1]
    assert ports.keys() == {
        *("ssh_from_admin", "ssh_from_bastion", "operators", "kafka", "zookeeper", "exporters", "endpoints")
    }, "security.tf has other rules than are known here: show them in the diagram, too"


def ports(text):
    """The arrows of a deployment that have ports."""
    for one, other, label in edges(text):
        for port in re.findall(r"\d+", label):
            yield one, other, port


def default_of(variable):
    """What variables.tf gives a variable without being asked."""
    text = (TERRAFORM / "variables.tf").read_text(encoding="utf-8")
    return re.search(rf'variable "{variable}" \{{.*?default\s+= "?(\w+)', text, re.DOTALL)[1]


def type_of(role):
    """The instance type that variables.tf gives a kind of host without being asked."""
    text = (TERRAFORM / "variables.tf").read_text(encoding="utf-8")
    return re.search(rf'^ +{role}\s+= optional\(string, "([\w.]+)"\)', text, re.MULTILINE)[1]


class TestFlow:
    def test_its_arrows_are_those_of_the_topology(self):
        shown = [(one, other) for one, other, _ in edges(diagram("The flow"))]
        assert sorted(shown) == sorted(set(flow(TOPOLOGY)))

    def test_topics_and_services_have_shapes_of_their_own(self):
        text = diagram("The flow")
        assert set(re.findall(r"(\w+)\[\(\1\)\]", text)) == set(TOPOLOGY.topics)
        assert set(re.findall(r"(\w+)\(\[\1\]\)", text)) == set(TOPOLOGY.services)


class TestDeployment:
    SECURITY = (TERRAFORM / "security.tf").read_text(encoding="utf-8")

    def test_its_ports_are_those_that_the_groups_open(self):
        assert set(ports(diagram("The deployment"))) == set(opened(self.SECURITY))

    def test_its_numbers_are_the_defaults(self):
        said = labels(diagram("The deployment"))
        for role in ("zookeeper", "kafka"):
            assert said[role].partition(" ")[0] == default_of(f"{role}_count")
        for role in ("zookeeper", "kafka", "control_center", "monitoring"):
            assert type_of(role) in said[role]
        mappings = sum(len(service.consumes) for service in TOPOLOGY.services.values())
        assert said["lambdas"] == f"{len(TOPOLOGY.services)} functions; pollers of {mappings} mappings"
        assert said["vpc"].partition(", ")[2] == f"{default_of('availability_zone_count')} zones"
        assert said["hosts"] == f"{default_of('access')} subnets"


class TestReading:
    """The reader of diagrams sees what a planted mistake changes."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("  a --> b", [("a", "b", "")]),
            ("  a([a]) --> b[(b)]", [("a", "b", "")]),
            ("  a & b -.-> c[(c)]", [("a", "c", ""), ("b", "c", "")]),
            ("  a -. undo .-> b", [("a", "b", "undo")]),
            ('  a -- "1, 2" --> b & c', [("a", "b", "1, 2"), ("a", "c", "1, 2")]),
            ("  subgraph a", []),
        ],
    )
    def test_an_arrow_is_read(self, line, expected):
        assert list(edges(line)) == expected

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("  payment_result --> shipping_handler([shipping_handler])\n", ""),
            ("order_shipped --> notification_handler", "order_shipped --> payment_processor"),
            ("  order_cancelled -. refund .-> payment_processor\n", ""),
            ("payment_processor & inventory_manager & ", "payment_processor & "),
        ],
    )
    def test_a_planted_mistake_in_the_flow_is_found(self, right, wrong):
        text = diagram("The flow")
        assert right in text
        shown = {(one, other) for one, other, _ in edges(text.replace(right, wrong))}
        assert shown != set(flow(TOPOLOGY))

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ('lambdas -- "9094" --> kafka', 'lambdas -- "9093" --> kafka'),
            ('  monitoring -- "9100" --> hosts\n', ""),
            ('"3000, 9090"', '"3000"'),
        ],
    )
    def test_a_planted_mistake_in_the_ports_is_found(self, right, wrong):
        text = diagram("The deployment")
        assert right in text
        assert set(ports(text.replace(right, wrong))) != set(opened(TestDeployment.SECURITY))
