"""The sample that `shopstream cost` prices is what infra/terraform leads to, and its choices are what settings do.

Each plan is a real one of the unchanged Terraform, with a stand-in for AWS on loopback.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

from shopstream import topology as topologies
from shopstream.aws.price import price
from shopstream.aws.terraform import Terraform
from shopstream.cost.choices import CHANGES
from shopstream.cost.plan import SAMPLE, Plan, default_plan, trimmed
from shopstream.cost.prices import price_table
from shopstream.cost.standing import standing
from shopstream.rehearsal.aws import AwsStandIn

pytestmark = [pytest.mark.infra, pytest.mark.deployment, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "admin_cidr": "203.0.113.7/32",
    "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test",
    "kafka_ca_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
}
SETTINGS = {
    "t3.micro for t2.micro": {"instance_types": '{zookeeper = "t3.micro", kafka = "t3.micro"}'},
    "pollers provisioned": {"poller_mode": "provisioned"},
    "NAT gateway for endpoints": {"service_access": "nat"},
    "private hosts, bastion, NAT": {"access": "bastion"},
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Plans infra/terraform with some variables; gives the data of `terraform show -json`."""
    site = tmp_path_factory.mktemp("site")
    module = site / "infra" / "terraform"
    hidden = shutil.ignore_patterns(".terraform*", "terraform.tfstate*", ".shopstream", "*.tfvars", "*_override.tf")
    shutil.copytree(ROOT / "infra" / "terraform", module, ignore=hidden)
    shutil.copyfile(ROOT / "topology.yaml", site / "topology.yaml")
    zips = site / "build" / "lambdas"
    zips.mkdir(parents=True)
    for service in topologies.load(ROOT / "topology.yaml").services:
        (zips / f"{service}.zip").write_bytes(b"a plan reads its checksum only")
    with AwsStandIn(site / "aws.log") as aws:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        terraform = Terraform(module, log=site / "terraform.log", environ=aws.apart(environ), tell=lambda _: None)
        terraform.init()

        def plan(**variables):
            out = site / "cost.tfplan"
            assert terraform.plan(out, variables={**REQUIRED, **variables}, secrets={})
            return terraform.planned(out)

        yield plan


@pytest.fixture(scope="module")
def default(planned):
    return planned()


def lines(plan):
    return [(line.service, line.what, pytest.approx(line.quantity)) for line in standing(plan, price_table()).lines]


def test_the_sample_is_what_infra_terraform_leads_to(default):
    spec = importlib.util.spec_from_file_location("sample_plan", ROOT / "scripts" / "sample_plan.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    committed = script.FILE.read_text(encoding="utf-8")
    assert script.FILE.name == SAMPLE
    remedy = "run scripts/sample_plan.py on a plan with all defaults, and look at what changed"
    assert json.loads(committed) == trimmed(default), remedy
    assert committed == script.render(default), remedy


def test_the_same_is_priced_in_both(default):
    fresh, sample = standing(Plan.of(default), price_table()), standing(default_plan(), price_table())
    assert lines(Plan.of(default)) == lines(default_plan())
    assert fresh.unpriced == sample.unpriced == ()
    assert price(default).hourly == pytest.approx(sample.hourly)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_choice_is_what_its_setting_leads_to(planned, name):
    how, change = next((how, change) for found, how, change in CHANGES if found == name)
    for variable in SETTINGS[name]:
        assert how.startswith(f"{variable} = ")
    real = Plan.of(planned(**SETTINGS[name]))
    assert lines(real) == lines(change(default_plan()))
    assert standing(real, price_table()).unpriced == ()


def test_everything_that_can_be_switched_on_has_its_place(planned):
    plan = planned(
        access="bastion", service_access="endpoints", poller_mode="provisioned", schedule_enabled="true",
        notification_email="somebody@example.com", event_source_mappings_enabled="true", lambda_architecture="arm64",
    )  # fmt: skip
    assert standing(Plan.of(plan), price_table()).unpriced == ()
