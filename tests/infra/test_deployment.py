"""The production scripts and Terraform, unchanged, through a whole life: up, again, changed, down, nothing left.

The tests of this file are one story and run in their order; only the environment says that AWS is on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shopstream import topology as topologies
from shopstream.aws.ownership import Deployment
from shopstream.aws.settings import stand_ins
from shopstream.aws.terraform import Terraform
from shopstream.errors import RehearsalError
from shopstream.lambdas.model import FunctionConfig, MappingConfig
from shopstream.rehearsal.aws import ACCOUNT_ID, REGION, AwsStandIn
from shopstream.rehearsal.life import secrecy
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
        self.retired: dict[str, str] = {}  # passwords that a rotation has replaced, by their users
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

    def interrupted(self, name, *arguments, after):
        """Call a script, and press Ctrl-C when it has said something so many times: (what, how often)."""
        what, times = after
        command = [str(ROOT / "scripts" / f"{name}_all.sh"), *self.place, *arguments]
        child = subprocess.Popen(
            command,
            env=self.aws.apart(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs the tests may ignore it
        )
        said = []
        with child:
            for line in child.stderr:
                said.append(line)
                times -= what in line
                if times == 0:
                    times = -1
                    os.killpg(child.pid, signal.SIGINT)
            assert child.wait(WITHIN) == 130, said[-20:]
        assert times < 0
        assert "Traceback" not in "".join(said)
        with self.said.open("a", encoding="utf-8") as file:
            file.write(f"$ {command}, interrupted\n{''.join(said)}\n")

    @property
    def made(self):
        """How many resources Terraform's state has."""
        state = json.loads((self.folder / "infra" / "terraform" / "terraform.tfstate").read_text(encoding="utf-8"))
        return sum(len(each["instances"]) for each in state["resources"] if each["mode"] == "managed")

    def deploying(self, *arguments):
        """The arguments of deploy_all.sh."""
        zips = self.folder / "build" / "lambdas"
        return ("--zips", str(zips), "--skip-zips", "--infrastructure-only", "--yes", *arguments)

    def up(self, *arguments):
        checks = self.script("deploy", *self.deploying(*arguments))
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

    def plan_a_rotation(self, out):
        """Plan new passwords for everybody; what they are, each with its user's name."""
        made = {user: f"planned-for-{user}-{'x' * 20}" for user in self.passwords()}
        accounts = set(self.deployment.accounts)
        known = {
            "kafka_passwords": {user: word for user, word in made.items() if user not in accounts},
            "host_passwords": {user: word for user, word in made.items() if user in accounts},
        }
        terraform = Terraform(
            self.folder / "infra" / "terraform",
            log=self.folder / "terraform.log",
            environ=self.aws.apart(os.environ),
            tell=lambda _: None,
        )
        hidden = {name: json.dumps(passwords) for name, passwords in known.items()}
        assert terraform.plan(out, variables={**stand_ins(), "secrets_version": "99"}, secrets=hidden)
        changes = terraform.planned(out)["resource_changes"]
        changed = {each["address"] for each in changes if each["change"]["actions"] != ["no-op"]}
        assert {f'aws_secretsmanager_secret_version.user["{user}"]' for user in known["kafka_passwords"]} <= changed
        return {word.encode(): f"the password that was planned for {user}" for user, word in made.items()}

    def passwords_but(self, newcomer):
        return {user: password for user, password in self.passwords().items() if user != newcomer}

    def mappings(self):
        listed = self.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        return [MappingConfig.from_api(each) for each in listed]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    with AwsStandIn(folder / "aws.log") as aws:
        aws.client("s3").create_bucket(Bucket="shopstream-artifacts-of-somebody-else")
        yield Site(folder / "site", aws)


def test_ctrl_c_in_the_midst_of_terraform_loses_nothing_that_aws_makes(site):
    site.build()
    place = ("--admin-cidr", "203.0.113.7/32", "--ssh-public-key", str(site.key))
    site.interrupted("deploy", *site.deploying(*place), after=("Creation complete", 20))
    assert site.made > 130  # Terraform was let finish: what it broke off would be missing from its state


def test_it_comes_up_and_aws_reports_what_the_checklist_asks_for(site):
    before = site.made
    site.up()
    assert site.made == before
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
        assert made.handler == service.lambda_handler
        assert {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USER_SECRET_ARN", "KAFKA_CA_SECRET_ARN"} <= made.environment.keys()
        assert ("STATE_TABLE" in made.environment) == bool(service.state)


def test_a_new_password_for_one_user_leaves_the_others_theirs(site):
    before = site.passwords()
    site.up("--rotate", "payment_processor", "--rotate", "broker")
    after = site.passwords()
    site.retired = {user: before[user] for user in before if before[user] != after[user]}
    assert site.retired.keys() == {"payment_processor", "broker"}
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
    words = secrecy.words(site.aws.client)
    assert {name.rpartition("/")[2] for name in words.values()} >= {"kafka-ca-key", *site.passwords()}
    words |= {password.encode(): f"{user}, before its rotation" for user, password in site.retired.items()}
    words |= site.plan_a_rotation(site.folder.parent / "rotation.tfplan")
    files = {path.name for path in site.folder.parent.rglob("*") if path.is_file() and not path.is_symlink()}
    assert files >= {"terraform.tfstate", "terraform.log", "said.log", "aws.log", "rotation.tfplan"}
    assert {f"{service}.zip" for service in site.topology.services} <= files
    assert secrecy.search(words, [site.folder.parent]) > len(files)  # what is in zips and plans is looked at, too
    # What is looked for would be found: the state does hold what is no secret.
    with pytest.raises(RehearsalError, match=r"terraform\.tfstate holds a name"):
        secrecy.search({b"shopstream/kafka/payment_processor": "a name"}, [site.folder / "infra"])


def test_ctrl_c_in_the_midst_of_the_destruction(site):
    before = site.made
    site.interrupted("destroy", "--yes", after=("Destruction complete", 20))
    assert 0 < site.made <= before - 20


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
