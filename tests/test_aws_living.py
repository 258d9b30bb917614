"""A state that does not know what lives in AWS makes nothing and destroys nothing; one that was interrupted goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shopstream.aws import leftovers, living
from shopstream.aws.destroy import explain
from shopstream.aws.statefile import read_state
from shopstream.errors import DeploymentError
from tests.aws_account import (
    NEIGHBOUR,
    OURS,
    TOPOLOGY,
    account,
    aws,
    make_function,
    make_mapping,
    make_network,
    make_role,
    specification,
    stand_in,
)
from tests.test_aws_deploy import FakeTerraform, deployer, zips
from tests.test_aws_destroy import FakeTerraform as DestroyingTerraform
from tests.test_aws_destroy import destroyer, silent

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in", "zips"]

FUNCTION = OURS.function("payment_processor")


def empty_network(aws, deployment=OURS):
    """What Terraform leaves that was killed while it made the network."""
    made = aws.client("ec2").create_vpc(CidrBlock="10.40.0.0/16", TagSpecifications=specification("vpc", deployment))
    return made["Vpc"]["VpcId"]


def facts(*known):
    """A state that knows some things, by type and name."""
    resources = [
        {"mode": "managed", "type": kind, "instances": [{"attributes": {"id": name, "name": name}}]}
        for kind, name in known
    ]
    return read_state({"resources": resources})


# --- Bringing up -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan_only", [False, True])
def test_an_empty_state_beside_a_living_deployment_makes_nothing(aws, zips, plan_only):
    living_one = DestroyingTerraform(aws, OURS)
    before = leftovers.find(aws, OURS)
    terraform = FakeTerraform(aws)
    with pytest.raises(DeploymentError, match=rf"{living_one.vpc}.*--state FILE, --backend-config") as raised:
        deployer(aws, terraform, zips).run(plan_only=plan_only)
    assert f"function {FUNCTION}" in str(raised.value)
    assert "another --name" in str(raised.value)
    assert terraform.calls == ["check", "init"]
    assert leftovers.find(aws, OURS) == before


def test_a_deployment_of_the_same_name_in_another_region_is_known_by_its_roles(aws, zips):
    make_role(aws, FUNCTION, OURS)
    terraform = FakeTerraform(aws)
    with pytest.raises(DeploymentError, match=f"role {FUNCTION}.*another --name"):
        deployer(aws, terraform, zips).run()
    assert "plan" not in terraform.calls


def test_an_interrupted_first_apply_goes_on(aws):
    vpc, _ = make_network(aws, OURS)
    make_function(aws, FUNCTION, OURS)
    told = []
    known = facts(("aws_vpc", vpc), ("aws_lambda_function", FUNCTION), ("aws_iam_role", FUNCTION))
    living.check_deploy(aws, OURS, known, told.append)
    assert told == []


@pytest.mark.parametrize("known", [(), (("aws_s3_bucket", OURS.bucket),)])
def test_a_network_that_terraform_could_not_record_is_named_and_does_not_stand_in_the_way(aws, zips, known):
    vpc, told = empty_network(aws), []
    living.check_deploy(aws, OURS, facts(*known), told.append)
    assert len(told) == 1
    assert vpc in told[0]
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    assert terraform.calls[-1] == "apply"


def test_a_function_that_terraform_could_not_record_is_named_with_the_way_out(aws):
    vpc, _ = make_network(aws, OURS)
    make_function(aws, FUNCTION, OURS)
    with pytest.raises(DeploymentError, match="delete it, or `terraform import` it"):
        living.check_deploy(aws, OURS, facts(("aws_vpc", vpc), ("aws_iam_role", FUNCTION)), silent)


def test_the_neighbour_is_no_living_deployment_of_ours(aws, zips):
    make_function(aws, NEIGHBOUR.function("payment_processor"), NEIGHBOUR)
    make_network(aws, NEIGHBOUR)
    terraform = FakeTerraform(aws)
    deployer(aws, terraform, zips).run()
    assert terraform.calls[-1] == "apply"


# --- Consumer groups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", [NEIGHBOUR, replace(OURS, name="other")])
def test_a_second_deployment_whose_consumer_groups_are_taken_is_refused_before_anything_is_made(aws, zips, whose):
    source = next(each for service in TOPOLOGY.services.values() for each in service.event_sources)
    function = make_function(aws, whose.function("payment_processor"), whose)["FunctionName"]
    mapping = make_mapping(aws, function, source.topic, source.group)
    before = leftovers.find(aws, OURS)
    terraform, asked = FakeTerraform(aws), []
    one = deployer(aws, terraform, zips)
    one.agree = asked.append
    with pytest.raises(DeploymentError, match=f"{mapping} of the function {function} has .*{source.group}.*--region"):
        one.run()
    assert asked == []
    assert "plan" not in terraform.calls
    assert leftovers.find(aws, OURS) == before


def test_our_own_groups_and_others_that_we_do_not_need_are_no_hindrance(aws):
    for who, group in ((OURS, "payment_processor.order_placed"), (NEIGHBOUR, "a.group.of.its.own")):
        function = make_function(aws, who.function("payment_processor"), who)["FunctionName"]
        make_mapping(aws, function, "order_placed", group)
    living.check_groups(aws, OURS, TOPOLOGY)
    with pytest.raises(DeploymentError, match=r"payment_processor\.order_placed"):
        living.check_groups(aws, NEIGHBOUR, TOPOLOGY)


# --- Taking down -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["run", "dry_run"])
def test_a_state_that_knows_another_network_destroys_nothing_of_the_living_one(aws, call):
    """Somebody has begun a second deployment of the same name with an empty state."""
    living_one = DestroyingTerraform(aws, OURS)
    second, subnet = make_network(aws, OURS, "10.50.0.0/16")
    terraform = DestroyingTerraform.__new__(DestroyingTerraform)
    terraform.__dict__.update(living_one.__dict__, resources=[("aws_vpc", second, pytest.fail)], calls=[])
    before = leftovers.find(aws, OURS)
    with pytest.raises(DeploymentError, match=f"{living_one.vpc}.*Nothing was touched.*--state FILE"):
        getattr(destroyer(aws, terraform), call)()
    assert leftovers.find(aws, OURS) == before
    assert subnet
    assert terraform.calls == ["check", "init"]


def test_a_state_that_knows_no_network_destroys_nothing_of_the_living_one(aws):
    living_one = DestroyingTerraform(aws, OURS)
    living_one.resources = living_one.resources[1:]
    before = leftovers.find(aws, OURS)
    with pytest.raises(DeploymentError, match="Nothing was touched"):
        destroyer(aws, living_one).run()
    assert leftovers.find(aws, OURS) == before


def test_a_network_that_was_never_recorded_is_left_over_and_does_not_stop_the_destruction(aws):
    terraform = DestroyingTerraform(aws, OURS)
    vpc = empty_network(aws)
    inventory = destroyer(aws, terraform).run()
    assert terraform.resources == []
    assert [(each.kind, each.identity) for each in inventory.left] == [("VPC", vpc)]
    with pytest.raises(DeploymentError, match="still there, and listed above: 1"):
        explain(inventory)
    aws.client("ec2").delete_vpc(VpcId=vpc)
    assert destroyer(aws, terraform).run().clean
