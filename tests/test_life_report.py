"""The pure parts of a rehearsal's phases, what it counts, and its report."""

import json
from html.parser import HTMLParser
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts.inventory import parse
from shopstream.rehearsal.hosts.plan import plan
from shopstream.rehearsal.life import ansible_log, changing, counting, page, report, site
from shopstream.rehearsal.life.changing import with_retention
from shopstream.rehearsal.life.deploying import unlike
from shopstream.rehearsal.life.functions import address_in
from shopstream.rehearsal.life.phases import NAMES
from shopstream.rehearsal.life.record import Record, Result
from shopstream.topology import load

ROOT = Path(__file__).parents[1]


def test_functions_get_a_free_address_of_their_first_subnet():
    assert address_in(["10.20.144.0/20", "10.20.128.0/20"], ["10.20.128.100"]) == IPv4Address("10.20.128.101")
    with pytest.raises(RehearsalError, match="vpc_config"):
        address_in([], [])


def test_instances_and_machines_are_compared_one_to_one():
    lines = "[kafka]\nkafka1 ansible_host=192.0.2.1 private_ip=10.0.0.11 public_ip=192.0.2.1 instance_type=t2.micro\n"
    planned = plan(parse(lines), "abc123")
    same = {"kafka1": ("10.0.0.11", "192.0.2.1", "t2.micro")}
    assert unlike(same, planned) == []
    assert "kafka2" in unlike({**same, "kafka2": ("10.0.0.2", None, "t2.micro")}, planned)[0]
    assert "machine ('10.0.0.11'" in unlike({"kafka1": ("10.0.0.9", "192.0.2.1", "t2.micro")}, planned)[0]


def test_a_retention_is_changed_and_nothing_else(tmp_path):
    text = (ROOT / "topology.yaml").read_text(encoding="utf-8")
    for topic in ("notifications", "dead_letters"):
        changed = with_retention(text, topic, "3d")
        path = tmp_path / "topology.yaml"
        path.write_text(changed, encoding="utf-8")
        before, after = load(ROOT / "topology.yaml"), load(path)
        assert [name for name in after.topics if after.topics[name] != before.topics[name]] == [topic]
        assert after.services == before.services
    with pytest.raises(RehearsalError, match="no topic other"):
        with_retention(text, "other", "3d")


def test_the_change_is_a_sound_topology_and_once_more_one_more_version(tmp_path):
    for name in ("topology.yaml", "services/notification_handler/notification_handler.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    changing.plan(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    topology = load(tmp_path / "topology.yaml")
    assert topology.services["fraud_checker"].consumes == ("order_placed",)
    assert topology.topics["notifications"].config["retention.ms"] == str(3 * 24 * 3600 * 1000)
    compile((tmp_path / "services/fraud_checker/fraud_checker.py").read_text(encoding="utf-8"), "fraud_checker", "exec")
    changing.plan(tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changed = tmp_path / "services/notification_handler/notification_handler.py"
    assert files.pop(changed).endswith(b"\nVERSION = 2\n")
    assert after.pop(changed).endswith(b"\nVERSION = 3\n")
    assert after == files


def test_the_copy_has_no_state_and_is_compared_with_the_checkout(tmp_path):
    source = tmp_path / "source"
    for name in (
        "infra/terraform/main.tf",
        "infra/terraform/terraform.tfstate",
        "infra/terraform/.shopstream/x/settings.json",
        "infra/ansible/site.yml",
        "services/a.py",
        "src/b.py",
        "scripts/c.sh",
        "topology.yaml",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    assert site.make(source, tmp_path / "site") == 6
    assert site.compare(source, tmp_path / "site") == site.Compared(3, ())
    (tmp_path / "site/infra/terraform/main.tf").write_text("other")
    (tmp_path / "site/infra/ansible/inventory.ini").write_text("made by the deployment")
    found = site.compare(source, tmp_path / "site")
    assert found == site.Compared(2, ("infra/terraform/main.tf",))
    assert found.line() == "2 as in the checkout, not so: infra/terraform/main.tf"


def test_resources_are_counted_and_those_that_are_not_there_have_their_condition(tmp_path):
    (tmp_path / "a.tf").write_text(
        'resource "aws_vpc" "main" {\n}\n\nresource "aws_instance" "bastion" {\n  count = local.bastion ? 1 : 0\n}\n'
        'resource "aws_subnet" "public" {\n  for_each = local.zones\n}\n'
    )
    held = [("aws_vpc", "main", 1), ("aws_subnet", "public", 3), ("aws_instance", "bastion", 0)]
    listed = [{"mode": "managed", "type": t, "name": n, "instances": [{}] * count} for t, n, count in held]
    (tmp_path / "terraform.tfstate").write_text(json.dumps({"resources": listed}))
    found = counting.resources(tmp_path)
    assert found.line() == "2 of 3 declared (4 instances), 1 not, each with its reason"
    assert "local.bastion ? 1 : 0" in found.reasons["aws_instance.bastion"]
    found.require_reasons()
    (tmp_path / "b.tf").write_text('resource "aws_eip" "forgotten" {\n}\n')
    with pytest.raises(RehearsalError, match=r"aws_eip\.forgotten"):
        counting.resources(tmp_path).require_reasons()


PLAYBOOK = """
- hosts: all
  tasks:
    - name: Look
      command: "true"
    - name: In a block
      when: one
      block:
        - name: Swap
          when: not is_container
          command: "true"
    - name: Bring the role's part
      ansible.builtin.import_role:
        name: kafka
"""
LOG = """
TASK [Look] ****
ok: [kafka1]

TASK [Swap] ****
skipping: [kafka1]

TASK [kafka : Install] *****
changed: [kafka1]
skipping: [kafka2]

TASK [kafka : Set up a machine] ****
skipping: [kafka1]

TASK [kafka : Take effect] ****

TASK [kafka : Work] ****
ok: [kafka1]

TASK [Add a repository] ****
included: repository for kafka1
"""


def test_what_changed_is_known_with_its_hosts():
    log = (
        LOG
        + """
RUNNING HANDLER [kafka : Restart] ***
changed: [kafka1 -> localhost]
changed: [kafka2] => (item=a)
changed: [kafka2] => (item=b)
"""
    )
    assert ansible_log.changes(log) == {"kafka : Install": ["kafka1"], "kafka : Restart": ["kafka1", "kafka2"]}
    assert ansible_log.changes("TASK [Look] ***\nok: [kafka1]\n") == {}


def test_tasks_are_counted_and_those_that_did_not_run_have_their_reason(tmp_path):
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "upgrade.yml").write_text("- hosts: all\n  tasks:\n    - {name: Upgrade, command: 'true'}\n")
    (tmp_path / "roles/kafka/tasks").mkdir(parents=True)
    (tmp_path / "roles/kafka/handlers").mkdir(parents=True)
    (tmp_path / "roles/kafka/tasks/main.yml").write_text(
        "- {name: Install, command: 'true'}\n"
        "- {name: Set up a machine, ansible.builtin.include_tasks: machine.yml, when: not is_container}\n"
        "- {name: Take effect, ansible.builtin.meta: flush_handlers}\n"
        "- {name: Add a repository, ansible.builtin.include_role: {name: repository}}\n"
        "- {name: Try, block: [{name: Work, command: 'true'}], rescue: [{name: Say why, command: 'true'}]}\n"
    )
    (tmp_path / "roles/kafka/tasks/machine.yml").write_text("- {name: Make swap, command: 'true'}\n")
    (tmp_path / "roles/kafka/handlers/main.yml").write_text("- {name: Restart, command: 'true'}\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/ansible.log").write_text(LOG)
    found = counting.tasks(tmp_path, tmp_path / "logs")
    assert found.run == (
        *("site.yml: Look", "kafka: Install", "kafka: Set up a machine", "kafka: Take effect"),
        *("kafka: Add a repository", "kafka: Work"),
    )
    assert found.reasons["kafka: Say why"] == "a rescue, and nothing failed"
    assert found.reasons["kafka: Make swap"] == "its file is included only where: not is_container"
    assert found.reasons["site.yml: Swap"] == "its condition was false on every host: one and not is_container"
    assert found.reasons["kafka: Restart"] == "a handler that nothing notified"
    assert "not part of a deployment" in found.reasons["upgrade.yml: Upgrade"]


def test_every_task_of_the_playbooks_has_a_name_that_can_be_counted():
    found = counting.tasks(ROOT / "infra" / "ansible", ROOT / "nowhere")
    assert len(found.declared) > 150


class Page(HTMLParser):
    """What a browser would fetch, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path / "rehearsal.json")
    for number, name in enumerate(NAMES):
        made.put(Result(name, 100.0 * number, 10.0, ok=True, counts={"counted": f"<{name}>"}))
    made.results["infrastructure"].data["resources"] = counting.Counted(
        "resources", ("a", "b"), ("a",), {"b": "no <bastion>"}, 7
    ).to_data()
    made.results["zips"].data["zips"] = {"order_generator": "abc="}
    return made


def test_the_page_stands_alone_and_tells_all(record):
    read = Page()
    read.feed(page.render(record, version="0.1"))
    assert read.open == []
    assert all(link.startswith("#") for link in read.links)
    assert "all phases succeeded" in read.text
    assert "1 of 2 resource blocks applied, 7 resources, and planned once more" in read.text
    assert "no <bastion>" in read.text
    assert all(line in read.text for line in report.NOT_SHOWN)
    assert all(what in read.text for what, _ in report.STOOD_IN)


def test_a_failure_is_in_the_page_and_in_the_terminal(record):
    record.put(Result("judge", 5.0, 1.0, error="2 orders without an outcome", log="/x/judge.log"))
    assert "failed: judge" in page.render(record, version="0.1")
    lines = list(report.ends(record.results["judge"]))
    assert "       2 orders without an outcome" in lines
    assert any("/x/judge.log" in line for line in lines)
    assert any("judge" in line and "FAILED" in line for line in report.summary(record))
