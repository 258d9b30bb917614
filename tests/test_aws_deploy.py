"""Bringing a deployment up: nothing before it is agreed to, the same again the second time, and options said once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from shopstream.aws import assembly, leftovers
from shopstream.aws.deploy import Deployer
from shopstream.aws.ownership import ACCOUNTS, Deployment, read_tags
from shopstream.aws.settings import Settings, check_name, check_required, parse_variables
from shopstream.aws.statefile import read_state
from shopstream.errors import DeploymentError, UsageError
from tests.aws_account import NEIGHBOUR, NOW, OURS, TOPOLOGY, account, aws, stand_in

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


class FakeTerraform:
    """Makes the secrets, as Terraform does, and nothing else."""

    def __init__(self, aws):
        self.aws = aws
        self.calls = []
        self.variables = {}
        self.version = 0
        self.planned_version = 0
        self.applied = {}

    def check(self):
        self.calls.append("check")

    def init(self, backend=()):
        self.calls.append("init")

    def state_data(self):
        if not self.version:
            return {}
        secrets = [{"name": name, "tags_all": OURS.tags} for name in OURS.logins.values()]
        versions = [{"secret_string_wo_version": self.version} for _ in OURS.logins]
        return {
            "resources": [
                {"mode": "managed", "type": kind, "instances": [{"attributes": each} for each in attributes]}
                for kind, attributes in (
                    ("aws_secretsmanager_secret", secrets), ("aws_secretsmanager_secret_version", versions)
                )
            ]
        }  # fmt: skip

    def plan(self, out, *, variables, secrets, destroy=False):
        self.calls.append("plan")
        self.variables = dict(variables)
        self.planned_version = int(variables["secrets_version"])
        out.write_text("plan", encoding="utf-8")
        return self.planned_version != self.version or self.variables != self.applied

    def planned(self, plan):
        return {"variables": {name: {"value": value} for name, value in self.variables.items()}}

    def apply(self, plan, *, secrets):
        self.calls.append("apply")
        client = self.aws.client("secretsmanager")
        for variable, names in (("kafka_passwords", OURS.users), ("host_passwords", OURS.accounts)):
            given = json.loads(secrets[variable])
            assert set(given) == set(names)
            for login, password in given.items():
                text = json.dumps({"username": login, "password": password})
                if self.version:
                    client.put_secret_value(SecretId=OURS.logins[login], SecretString=text)
                else:
                    client.create_secret(Name=OURS.logins[login], SecretString=text, Tags=OURS.tag_list)
        self.version = self.planned_version
        self.applied = dict(self.variables)

    def outputs(self):
        return {"kafka_private_ips": ["10.20.0.21"]}


class FakeAnsible:
    """Takes note of the calls, in the list of Terraform's."""

    def __init__(self, terraform, *, works=True):
        self.terraform = terraform
        self.works = works

    def check(self):
        self.terraform.calls.append("ansible check")

    def configure(self, outputs):
        assert outputs == self.terraform.outputs()
        self.terraform.calls.append("ansible")
        if not self.works:
            raise DeploymentError("`ansible-playbook site.yml` failed")


@pytest.fixture
def zips(tmp_path):
    for service in OURS.services:
        (tmp_path / f"{service}.zip").write_bytes(b"zip")
    return tmp_path


def deployer(aws, terraform, zips, *, agree=True, told=None, **more):
    return Deployer(
        aws=aws, deployment=OURS, topology=TOPOLOGY, terraform=terraform, settings=Settings.read(zips, OURS.name),
        zips=zips, tell=(told if told is not None else []).append, agree=lambda text: agree, now=NOW, **more,
    )  # fmt: skip


def passwords(aws):
    client = aws.client("secretsmanager")
    return {
        login: json.loads(client.get_secret_value(SecretId=name)["SecretString"])["password"]
        for login, name in OURS.logins.items()
    }


def test_without_agreement_nothing_is_made(aws, zips):
    terraform = FakeTerraform(aws)
    with pytest.raises(DeploymentError, match="nothing was changed"):
        deployer(aws, terraform, zips, agree=False).run()
    assert "apply" not in terraform.calls
    assert leftovers.find(aws, OURS).clean
    assert Settings.read(zips, OURS.name).given == {}


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("plan_only", [True, False])
def test_without_agreement_a_secret_goes_on_waiting_for_its_deletion(aws, zips, lives, plan_only):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    name = OURS.user_secret("admin")
    aws.client("secretsmanager").delete_secret(SecretId=name)
    before = aws.client("secretsmanager").describe_secret(SecretId=name)
    terraform.version = terraform.version if lives else 0
    asked = []
    one = deployer(aws, terraform, zips)
    one.agree = lambda text: asked.append(text) or False
    if plan_only:
        one.run(plan_only=True)
        assert asked == []
    else:
        with pytest.raises(DeploymentError, match="nothing was changed: you did not agree"):
            one.run()
        assert f"{name}: to be {'restored' if lives else 'deleted now and for good'}" in asked[0]
    assert aws.client("secretsmanager").describe_secret(SecretId=name)["DeletedDate"] == before["DeletedDate"]


def test_with_agreement_a_secret_that_waits_for_its_deletion_comes_back(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    first = passwords(aws)
    aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("admin"))
    deployer(aws, terraform, zips).run()
    assert passwords(aws) == first


def test_a_plan_alone_makes_nothing_and_asks_nobody(aws, zips):
    terraform, told = FakeTerraform(aws), []
    assert deployer(aws, terraform, zips, agree=False, told=told).run(plan_only=True) == []
    assert "apply" not in terraform.calls
    assert leftovers.find(aws, OURS).clean
    assert any("USD an hour" in text and OURS.account in text for text in told)


def test_a_second_deployment_changes_nothing(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    first, certificate = passwords(aws), terraform.variables["kafka_ca_certificate"]
    terraform.calls.clear()
    deployer(aws, terraform, zips).run()
    assert "apply" not in terraform.calls
    assert passwords(aws) == first
    assert terraform.variables["kafka_ca_certificate"] == certificate


def test_a_rotation_writes_new_passwords(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    first = passwords(aws)
    deployer(aws, terraform, zips, rotate=("admin",)).run()
    assert terraform.version == 2
    assert {user for user, password in passwords(aws).items() if first[user] != password} == {"admin"}


def test_lambda_polls_when_ansible_has_verified_the_brokers(aws, zips):
    terraform, told = FakeTerraform(aws), []
    asked = []
    one = deployer(aws, terraform, zips, told=told, ansible=FakeAnsible(terraform), rotate=("admin",))
    one.agree = lambda text: asked.append(text) or True
    one.run()
    assert terraform.calls == ["check", "ansible check", "init", "plan", "apply", "ansible", "plan", "apply"]
    assert terraform.applied["event_source_mappings_enabled"] == "true"
    assert terraform.version == 1
    (question,) = asked
    assert "then Ansible makes a cluster of the hosts, and Lambda begins to poll it" in question
    terraform.calls.clear()
    deployer(aws, terraform, zips, ansible=FakeAnsible(terraform), variables=Settings.read(zips, OURS.name).given).run()
    assert "apply" not in terraform.calls


def test_lambda_does_not_poll_when_a_playbook_fails_or_the_user_says_no(aws, zips):
    terraform = FakeTerraform(aws)
    with pytest.raises(DeploymentError, match=r"site\.yml. failed"):
        deployer(aws, terraform, zips, ansible=FakeAnsible(terraform, works=False)).run()
    assert "event_source_mappings_enabled" not in terraform.applied
    no = {"event_source_mappings_enabled": "false"}
    deployer(aws, terraform, zips, ansible=FakeAnsible(terraform), variables=no).run()
    assert terraform.applied["event_source_mappings_enabled"] == "false"


@pytest.mark.parametrize("lives", [True, False])
def test_brokers_that_are_made_anew_are_not_polled_because_others_were(aws, zips, lives):
    """A destruction that ended with a leftover, or a state that was lost, has forgotten no option."""
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips, ansible=FakeAnsible(terraform)).run()
    assert Settings.read(zips, OURS.name).given["event_source_mappings_enabled"] == "true"
    if not lives:
        terraform = FakeTerraform(aws)
        for name in OURS.logins.values():
            aws.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    with pytest.raises(DeploymentError, match=r"site\.yml. failed"):
        deployer(aws, terraform, zips, ansible=FakeAnsible(terraform, works=False)).run()
    given = Settings.read(zips, OURS.name).given
    if lives:
        assert given["event_source_mappings_enabled"] == "true"
    else:
        # Terraform has what was remembered in its environment too: only an option on its command line is stronger.
        assert terraform.applied["event_source_mappings_enabled"] == "false"
        assert "event_source_mappings_enabled" not in given


def test_bare_hosts_are_not_polled(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    assert terraform.calls == ["check", "init", "plan", "apply"]
    assert "event_source_mappings_enabled" not in terraform.applied


def test_no_secret_is_told_planned_or_kept(aws, zips):
    terraform, told = FakeTerraform(aws), []
    deployer(aws, terraform, zips, told=told, variables={"access": "public"}).run()
    key = json.loads(aws.client("secretsmanager").get_secret_value(SecretId=OURS.ca_key_secret)["SecretString"])
    secret = [*passwords(aws).values(), key["private_key"].splitlines()[1]]
    files = [path.read_text(encoding="utf-8") for path in zips.rglob("*.json")]
    assert files
    for word in secret:
        assert word not in "\n".join([*told, *files, json.dumps(terraform.variables)])


def test_options_are_said_once(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips, variables={"access": "bastion", "kafka_count": "5"}).run()
    kept = Settings.read(zips, OURS.name)
    assert kept.given == {"access": "bastion", "kafka_count": "5"}
    assert kept.environment({"TF_VAR_access": "public"}) == {"TF_VAR_access": "public", "TF_VAR_kafka_count": "5"}
    assert kept.path.stat().st_mode & 0o077 == 0
    assert Settings.read(zips, NEIGHBOUR.name).given == {}


def test_what_the_check_compares_with_is_kept_from_the_plan(aws, zips):
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips, variables={"poller_mode": "provisioned", "kafka_count": "5"}).run()
    assert Settings.read(zips, OURS.name).effective == {"poller_mode": "provisioned"}


def test_a_missing_zip_is_told_before_anything_is_done(aws, zips):
    (zips / "order_generator.zip").unlink()
    terraform = FakeTerraform(aws)
    with pytest.raises(DeploymentError, match=r"no zip of order_generator: build them with scripts/build_all_zips\.sh"):
        deployer(aws, terraform, zips).run()
    assert terraform.calls == ["check"]


# --- What is said and kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair", ["novalue", "=x", "a-b=x", "kafka_passwords={}", "host_passwords={}", "name=x", "region=x"]
)
def test_a_variable_that_cannot_be_given_is_refused(pair):
    with pytest.raises(UsageError):
        parse_variables([pair])


def test_a_variables_value_may_hold_anything():
    assert parse_variables(['instance_types={kafka="t3.micro"}']) == {"instance_types": '{kafka="t3.micro"}'}


@pytest.mark.parametrize("name", ["a", "Shop", "1shop", "shop-", "x" * 25, "shop_two", "sg-shop", "xn--shop"])
def test_a_name_that_cannot_become_a_buckets_is_refused(name):
    with pytest.raises(UsageError):
        check_name(name)


def test_what_has_no_default_must_be_said_somewhere(tmp_path):
    with pytest.raises(UsageError, match=r"--admin-cidr.*--ssh-public-key"):
        check_required({}, {}, tmp_path)
    (tmp_path / "terraform.tfvars").write_text('admin_cidr = "203.0.113.7/32"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="first deployment say --ssh-public-key"):
        check_required({}, {}, tmp_path)
    check_required({}, {"TF_VAR_ssh_public_key": "ssh-rsa A"}, tmp_path)
    check_required({"ssh_public_key": "ssh-rsa A"}, {}, tmp_path)


def test_a_damaged_settings_file_is_an_error_with_a_remedy(tmp_path):
    path = Settings.read(tmp_path, "shop").path
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DeploymentError, match="delete it"):
        Settings.read(tmp_path, "shop")


# --- Pure parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "Project", "Value": "shopstream"}, {"Key": "Deployment", "Value": "shop"}],
        [{"TagKey": "Project", "TagValue": "shopstream"}, {"TagKey": "Deployment", "TagValue": "shop"}],
        {"Project": "shopstream", "Deployment": "shop"},
    ],
)
def test_tags_are_read_in_every_shape(tags):
    assert read_tags(tags) == {"Project": "shopstream", "Deployment": "shop"}
    assert OURS.owns(tags)
    assert not NEIGHBOUR.owns(tags)


@pytest.mark.parametrize(
    ("tags", "name", "ours"),
    [
        (None, "a", True),
        ([], "a", True),
        (None, "ab", False),
        ({"Project": "shopstream", "Deployment": "shop-two"}, "a", False),
        ({"Project": "other"}, "a", False),
        ({"Owner": "x"}, "a", True),
        ({"Project": "shopstream", "Deployment": "shop"}, "b", True),
    ],
)
def test_a_name_decides_only_where_no_tag_does(tags, name, ours):
    assert OURS.may_own(tags, name, ["a"]) is ours


def test_names_follow_from_the_topology():
    deployment = Deployment.of(TOPOLOGY, name="shop", account="1", region="us-east-1")
    assert deployment.tables == ("shop-shipping_handler_state",)
    assert deployment.secrets[-2:] == ("shop/kafka-ca", "shop/kafka-ca-key")
    assert set(deployment.users) == set(TOPOLOGY.users)
    assert deployment.logins["broker"] == "shop/hosts/broker"
    assert set(deployment.logins.values()) < set(deployment.secrets)


def test_terraform_makes_the_accounts_that_the_scripts_know():
    root = Path(__file__).parent.parent
    text = (root / "infra" / "terraform" / "secrets.tf").read_text(encoding="utf-8")
    block = text[text.index("accounts = {") : text.index("}", text.index("accounts = {"))]
    assert dict(re.findall(r'(\w+)\s+= "(\w+)"', block)) == ACCOUNTS


def test_a_topology_with_a_user_that_the_hosts_need_is_refused():
    operators = {**TOPOLOGY.operators, "broker": replace(TOPOLOGY.operators["dashboard"], name="broker")}
    with pytest.raises(UsageError, match="the hosts have an account of that name: rename the user"):
        Deployment.of(replace(TOPOLOGY, operators=operators), name="shop", account="1", region="us-east-1")


def test_the_private_key_is_looked_for_beside_the_public_one_and_remembered(tmp_path):
    (tmp_path / "key").write_text("private", encoding="utf-8")
    public = str(tmp_path / "key.pub")
    assert assembly.find_private_key(None, public) == str(tmp_path / "key")
    assert assembly.find_private_key("other", public) == str(Path("other").absolute())
    assert assembly.find_private_key(None, str(tmp_path / "absent.pub")) is None
    settings = Settings.read(tmp_path, "shop")
    settings.private_key = str(tmp_path / "key")
    settings.write()
    assert Settings.read(tmp_path, "shop").private_key == str(tmp_path / "key")


def state(**attributes):
    return {"resources": [{"mode": "managed", "type": "aws_vpc", "instances": [{"attributes": attributes}]}]}


def test_a_state_tells_where_it_belongs():
    facts = read_state(
        state(id="vpc-1", arn="arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1", tags_all={"Deployment": "x"})
    )
    assert (facts.resources, facts.accounts, facts.regions, facts.deployments, facts.vpcs) == (
        1, {"123456789012"}, {"eu-west-1"}, {"x"}, {"vpc-1"},
    )  # fmt: skip
    read_state({}).check(OURS)
    read_state(state(arn="arn:aws:iam::aws:policy/x")).check(OURS)


def test_zips_of_the_same_checkout_have_the_same_path_for_everybody(tmp_path):
    main = (Path(__file__).parent.parent / "infra" / "terraform" / "main.tf").read_text(encoding="utf-8")
    default = re.search(r'zips_dir += coalesce\(var\.zips_dir, trimprefix\("\$\{path\.module\}/(.+?)", "\./"\)\)', main)
    for checkout in (tmp_path / "one", tmp_path / "another"):
        module = checkout / "infra" / "terraform"
        module.mkdir(parents=True)
        parts = {"directory": module, "zips": checkout / "build" / "lambdas"}
        # Terraform's own default is the same path, for whoever calls it without this program.
        assert assembly.Assembly.zips_dir.fget(SimpleNamespace(**parts)) == default[1] == "../../build/lambdas"
        parts["zips"] = tmp_path / "elsewhere"
        assert assembly.Assembly.zips_dir.fget(SimpleNamespace(**parts)) == str(tmp_path / "elsewhere")
