"""Terraform plans what docs/adding-a-service.md promises for a module and an entry of topology.yaml, and nothing else.

Real plans of the unchanged infra/terraform, with a stand-in for AWS on loopback. That such a service is deployed with
its secret and its mapping, and that a second time there is nothing to do, is shown in test_deployment.py.
"""

from __future__ import annotations

import os
import shutil

import pytest

from shopstream import topology as topologies
from shopstream.aws.terraform import Terraform
from shopstream.rehearsal.aws import AwsStandIn
from tests import adding
from tests.adding import ANSWERS, NAME, READS, ROOT

pytestmark = [pytest.mark.infra, pytest.mark.deployment, pytest.mark.timeout(900)]

REQUIRED = {
    "admin_cidr": "203.0.113.7/32",
    "ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test",
    "kafka_ca_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
}


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """What is planned before the page is followed, and after each of its sections: resources by address."""
    site = tmp_path_factory.mktemp("site")
    hidden = shutil.ignore_patterns(".terraform*", "terraform.tfstate*", ".shopstream", "*.tfvars", "*_override.tf")
    shutil.copytree(ROOT / "infra" / "terraform", site / "infra" / "terraform", ignore=hidden)
    shutil.copyfile(ROOT / "topology.yaml", site / "topology.yaml")
    zips = site / "build" / "lambdas"
    zips.mkdir(parents=True)
    found = []
    with AwsStandIn(site / "aws.log") as aws:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        module = site / "infra" / "terraform"
        terraform = Terraform(module, log=site / "terraform.log", environ=aws.apart(environ), tell=lambda _: None)
        terraform.init()
        for title in (None, READS, ANSWERS):
            if title:
                adding.carry_out(title, site)
            for service in topologies.load(site / "topology.yaml").services:
                (zips / f"{service}.zip").write_bytes(b"a plan reads its checksum only")
            out = site / "one.tfplan"
            assert terraform.plan(out, variables=REQUIRED, secrets={})
            planned = terraform.planned(out)["planned_values"]["root_module"]["resources"]
            found.append({each["address"]: (each["type"], each.get("values", {})) for each in planned})
    return found


def added(before, after):
    """The resources that came, by type; none may have gone."""
    assert before.keys() <= after.keys()
    new = {address: after[address] for address in after.keys() - before.keys()}
    assert all(NAME in address for address in new)
    kinds = {kind for kind, _ in new.values()}
    return {kind: [values for found, values in new.values() if found == kind] for kind in kinds}


def test_a_service_that_reads_gets_what_the_page_names(plans):
    before, reads, _ = plans
    new = added(before, reads)
    (function,), (log,) = new["aws_lambda_function"], new["aws_cloudwatch_log_group"]
    assert (function["function_name"], function["handler"]) == (
        f"shopstream-{NAME}",
        f"shopstream.runtime.entry.{NAME}",
    )
    assert log["name"] == f"/aws/lambda/shopstream-{NAME}"
    (mapping,), (secret,) = new["aws_lambda_event_source_mapping"], new["aws_secretsmanager_secret"]
    assert mapping["topics"] == ["order_placed"]
    assert mapping["self_managed_kafka_event_source_config"][0]["consumer_group_id"] == f"{NAME}.order_placed"
    assert secret["name"] == f"shopstream/kafka/{NAME}"
    assert len(new["aws_secretsmanager_secret_version"]) == len(new["aws_s3_object"]) == 1
    assert new["aws_cloudwatch_metric_alarm"]
    promised = adding.section(adding.ON_LAMBDA)
    for word in (f"`shopstream-{NAME}`", f"`{NAME}.order_placed`", "log group", "alarms", "secret"):
        assert word in promised


def test_a_topic_of_its_own_is_kafka_s_business_and_changes_nothing_at_aws(plans):
    _, reads, answers = plans
    assert added(reads, answers) == {}
