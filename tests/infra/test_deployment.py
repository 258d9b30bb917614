"""The production scripts and Terraform, unchanged, through a whole life: up, again, changed, down, nothing left.

The tests of this file are one story and run in their order; only the environment says that AWS is on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shopstream import topology as topologies
from shopstream.aws.ownership import Deployment
from shopstream.lambdas.model import FunctionConfig, MappingConfig
from shopstream.rehearsal.aws import ACCOUNT_ID, REGION, AwsStandIn
from shopstream.rehearsal.life import site as checkout

pytestmark = [pytest.mark.infra, pytest.mark.deployment, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
WITHIN = 600  # seconds for one call of a script
NEW_SERVICE = """
  fraud_checker:
    consumes: [order_placed]
    options: {seed: 0, approval_rate: 0.9}
"""


class Site:
    """A checkout of the project, with what a deployment leaves beside its Terraform."""

    def __init__(self, folder: Path, aws: AwsStandIn) -> None:
        self.folder = folder
        self.aws = aws
        self.key = folder / "key.pub"
        self.said = folder / "said.log"
        checkout.make(ROOT, folder)
        self.key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test\n")

    @property
    def topology(self):
        return topologies.load(self.folder / "topology.yaml")

    @property
    def deployment(self) -> Deployment:
        return Deployment.of(self.topology, name="shopstream", account=ACCOUNT_ID, region=REGION)

    def build(self):
        command = [sys.executable, str(self.folder / "scripts" / "build_zips.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr

    def script(self, name, *arguments, expect=0):
        """Call one of the project's scripts for this site; what it prints on standard output."""
        command = [str(ROOT / "scripts" / f"{name}_all.sh"), *self.place, *arguments]
        return self._call(command, expect)

    def tool(self, name, *arguments, expect=0):
        return self._call([sys.executable, "-m", "shopstream.aws", name, *self.place, *arguments], expect)

    @property
    def place(self):
        infra = self.folder / "infra" / "terraform"
        return ("--directory", str(infra), "--topology", str(self.folder / "topology.yaml"), "--json")

    def _call(self, command, expect):
        environment = self.aws.apart(os.environ)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=WITHIN)
        with self.said.open("a", encoding="utf-8") as said:
            said.write(f"$ {command}\n{done.stdout}\n{done.stderr}\n")
        assert done.returncode == expect, f"{command} gave {done.returncode}:\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
        self.news = done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def up(self, *arguments):
        zips = self.folder / "build" / "lambdas"
        checks = self.script("deploy", "--zips", str(zips), "--skip-zips", "--infrastructure-only", "--yes", *arguments)
        wrong = [line for line in checks["checks"] if not line["ok"]]
        assert checks["ok"], wrong
        assert len(checks["checks"]) > 50
        return checks["checks"]

    def passwords(self):
        client = self.aws.client("secretsmanager")
        return {
            name.rpartition("/")[2]: json.loads(client.get_secret_value(SecretId=name)["SecretString"])["password"]
            for secret in client.list_secrets()["SecretList"]
            if (name := secret["Name"]).startswith((f"{self.deployment.name}/kafka/", f"{self.deployment.name}/hosts/"))
        }

    def passwords_but(self, newcomer):
        return {user: password for user, password in self.passwords().items() if user != newcomer}

    def mappings(self):
        listed = self.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        return [MappingConfig.from_api(each) for each in listed]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with AwsStandIn(folder / "aws.log") as aws:
        aws.client("s3").create_bucket(Bucket="shopstream-artifacts-of-somebody-else")
        yield Site(folder, aws)


def test_it_comes_up_and_aws_reports_what_the_checklist_asks_for(site):
    site.build()
    site.up("--admin-cidr", "203.0.113.7/32", "--ssh-public-key", str(site.key))
    assert not any(each.enabled for each in site.mappings())
    assert site.aws.unsupported_calls() == []


def test_a_second_time_there_is_nothing_to_do(site):
    before = site.passwords()
    site.up()
    assert "nothing to do: everything is as it shall be" in site.news
    assert site.passwords() == before


def test_the_functions_and_their_mappings_are_those_that_the_topology_derives(site):
    wanted = {
        (site.deployment.function(service.name), source.topic, source.group)
        for service in site.topology.services.values()
        for source in service.event_sources
    }
    mappings = site.mappings()
    assert {(each.function, each.topic, each.group) for each in mappings} == wanted
    assert not any(each.enabled for each in mappings)
    client = site.aws.client("lambda")
    for service in site.topology.services.values():
        answer = client.get_function_configuration(FunctionName=site.deployment.function(service.name))
        # The local Lambda takes it as it is.
        made = FunctionConfig.from_api(answer, site.folder / "build" / "lambdas" / f"{service.name}.zip")
        assert made.handler == f"services.{service.name}.{service.name}.handler"
        assert {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USER_SECRET_ARN", "KAFKA_CA_SECRET_ARN"} <= made.environment.keys()
        assert ("STATE_TABLE" in made.environment) == bool(service.state)


def test_a_new_password_for_one_user_leaves_the_others_theirs(site):
    before = site.passwords()
    site.up("--rotate", "payment_processor", "--rotate", "broker")
    after = site.passwords()
    assert {user for user in before if before[user] != after[user]} == {"payment_processor", "broker"}
    broker = site.aws.client("secretsmanager").get_secret_value(SecretId=site.deployment.account_secret("broker"))
    assert json.loads(broker["SecretString"]) == {"username": "broker", "password": after["broker"]}


def test_ansible_gets_its_inventory_and_a_client_its_files(site):
    file = site.folder / "inventory.ini"
    place = [each for each in site.place if each != "--json"]
    site._call([sys.executable, "-m", "shopstream.aws", "inventory", *place, "--output", str(file)], 0)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines if " private_ip=" in line] == [
        *("zookeeper1", "zookeeper2", "zookeeper3", "kafka1", "kafka2", "kafka3", "control-center", "monitoring"),
    ]
    assert "deployment=shopstream" in lines
    files = site.tool("clients", str(site.folder / "clients"))
    assert set(files) == set(site.topology.users)
    shutil.rmtree(site.folder / "clients")


def test_a_change_converges_with_a_new_service_that_only_the_topology_names(site):
    topology = site.folder / "topology.yaml"
    text = topology.read_text(encoding="utf-8")
    assert "\nservices:\n" in text
    text = text.replace("\nservices:\n", f"\nservices:{NEW_SERVICE}", 1)
    topology.write_text(text, encoding="utf-8")
    shutil.copytree(site.folder / "services" / "payment_processor", site.folder / "services" / "fraud_checker")
    (site.folder / "services" / "fraud_checker" / "payment_processor.py").rename(
        site.folder / "services" / "fraud_checker" / "fraud_checker.py"
    )
    site.build()
    before = site.passwords_but("fraud_checker")
    site.up("--var", 'instance_types={kafka="t3.micro"}', "--enable-mappings", "--access", "bastion")
    assert site.passwords_but("fraud_checker") == before
    assert site.passwords()["fraud_checker"]
    kinds = [
        instance["InstanceType"]
        for reservation in site.aws.client("ec2").describe_instances(
            Filters=[{"Name": "tag:Role", "Values": ["kafka"]}, {"Name": "instance-state-name", "Values": ["running"]}]
        )["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert kinds == ["t3.micro"] * 3
    assert ("shopstream-fraud_checker", "order_placed", "fraud_checker.order_placed") in {
        (each.function, each.topic, each.group) for each in site.mappings() if each.enabled
    }
    site.up()
    assert "nothing to do: everything is as it shall be" in site.news


def test_no_password_and_no_key_is_anywhere_but_in_secrets_manager(site):
    client = site.aws.client("secretsmanager")
    secret = json.loads(client.get_secret_value(SecretId=f"{site.deployment.name}/kafka-ca-key")["SecretString"])
    key = secret["private_key"].splitlines()[1]
    words = [word.encode() for word in (*site.passwords().values(), key)]
    assert len(set(words)) == len(site.deployment.logins) + 1
    assert min(map(len, words)) >= 32
    files = [path for path in site.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in files} >= {"terraform.tfstate", "terraform.log", "said.log", "aws.log"}
    contents = {path: path.read_bytes() for path in files}
    assert [path for path, content in contents.items() if any(word in content for word in words)] == []
    # What is looked for would be found: the state does hold what is no secret.
    state = site.folder / "infra" / "terraform" / "terraform.tfstate"
    assert b"shopstream/kafka/payment_processor" in contents[state]


def test_what_terraform_does_not_know_is_named_after_the_destruction(site):
    tags = [{"Key": key, "Value": value} for key, value in site.deployment.tags.items()]
    volume = site.aws.client("ec2").create_volume(
        AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )["VolumeId"]
    found = site.script("destroy", "--yes", expect=1)
    assert volume in json.dumps(found)
    assert "still there" in site.news
    site.aws.client("ec2").delete_volume(VolumeId=volume)


def test_then_nothing_is_left_and_what_is_not_ours_is_as_it_was(site):
    site.script("destroy", "--yes")
    assert site.tool("leftovers")["left"] == []
    buckets = [bucket["Name"] for bucket in site.aws.client("s3").list_buckets()["Buckets"]]
    assert buckets == ["shopstream-artifacts-of-somebody-else"]
    assert site.aws.unsupported_calls() == []
