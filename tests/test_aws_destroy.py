"""Taking a deployment down: in the order that does not hang, to the end after any interruption, and nobody else's."""

from __future__ import annotations

import json
import threading
from itertools import islice

import pytest
from botocore.exceptions import ClientError

from shopstream.aws import interfaces, leftovers, mappings
from shopstream.aws.authority import find_or_make, keep
from shopstream.aws.destroy import STEPS, Destroyer, explain
from shopstream.aws.leftovers.functions import owned_functions
from shopstream.aws.waiting import pauses
from shopstream.errors import AwsError, DeploymentError
from tests.aws_account import (
    NEIGHBOUR,
    NOW,
    OURS,
    account,
    aws,
    make_function,
    make_interface,
    make_mapping,
    make_network,
    make_role,
    specification,
    stand_in,
)

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def silent(line):
    """Tell nobody."""


class FakeTerraform:
    """Destroys what it made, by boto3, and keeps a state that says so. Like Terraform it stops where AWS refuses."""

    def __init__(self, aws, deployment):
        self.aws = aws
        self.deployment = deployment
        self.calls = []
        self.variables = {}
        self.resources = []
        client = aws.client("s3")
        self.vpc, self.subnet = make_network(aws, deployment)
        self.group = aws.client("ec2").create_security_group(
            GroupName=f"{deployment.name}-lambdas", Description="functions", VpcId=self.vpc,
            TagSpecifications=specification("security-group", deployment),
        )["GroupId"]  # fmt: skip
        self.role = make_role(aws, f"{deployment.name}-payment_processor", deployment)
        client.create_bucket(Bucket=deployment.bucket)
        client.put_bucket_tagging(Bucket=deployment.bucket, Tagging={"TagSet": deployment.tag_list})
        client.put_bucket_versioning(Bucket=deployment.bucket, VersioningConfiguration={"Status": "Enabled"})
        for body in (b"old", b"new"):
            client.put_object(Bucket=deployment.bucket, Key="lambdas/payment_processor.zip", Body=body)
        client.delete_object(Bucket=deployment.bucket, Key="lambdas/payment_processor.zip")
        name = deployment.function("payment_processor")
        make_function(aws, name, deployment, role=self.role)
        make_mapping(aws, name, "order_placed", f"{deployment.name}.order_placed", enabled=True)
        self.resources = [
            ("aws_vpc", self.vpc, self._delete_network),
            ("aws_s3_bucket", deployment.bucket, lambda: client.delete_bucket(Bucket=deployment.bucket)),
            ("aws_iam_role", name, lambda: aws.client("iam").delete_role(RoleName=name)),
        ]

    def _delete_network(self):
        ec2 = self.aws.client("ec2")
        held = interfaces.of_lambda(self.aws, {self.vpc})
        assert not held, "Terraform would hang here"
        ec2.delete_security_group(GroupId=self.group)
        ec2.delete_subnet(SubnetId=self.subnet)
        ec2.delete_vpc(VpcId=self.vpc)

    def check(self):
        self.calls.append("check")

    def init(self, backend=()):
        self.calls.append("init")

    def state_data(self):
        def attributes(kind, identity):
            arn = f"arn:aws:ec2:{self.deployment.region}:{self.deployment.account}:x/{identity}"
            return {"id": identity, "arn": arn, "tags_all": self.deployment.tags}

        return {
            "resources": [
                {"mode": "managed", "type": kind, "instances": [{"attributes": attributes(kind, identity)}]}
                for kind, identity, _ in self.resources
            ]
        }

    def plan(self, out, *, variables, secrets, destroy=False):
        self.calls.append("plan -destroy" if destroy else "plan")
        return True

    def destroy(self, *, variables, secrets):
        self.calls.append("destroy")
        self.variables = dict(variables)
        while self.resources:
            self.resources[-1][2]()
            self.resources.pop()


@pytest.fixture
def terraform(aws):
    made = FakeTerraform(aws, OURS)
    keep(aws, OURS, find_or_make(aws, OURS, NOW))
    return made


def destroyer(aws, terraform, **more):
    settings = {"tell": silent, "poll_s": 0.01, "interface_limit_s": 20.0, "mapping_limit_s": 20.0, **more}
    return Destroyer(aws, OURS, terraform, **settings)


def test_nothing_is_left(aws, terraform):
    inventory = destroyer(aws, terraform).run()
    assert inventory.clean
    assert explain(inventory) == "nothing is left"
    assert terraform.resources == []


def test_the_order_is_the_one_that_does_not_hang(aws, terraform):
    seen = []

    def look(step):
        roles = {role["RoleName"] for role in aws.client("iam").list_roles()["Roles"]}
        there = {
            "mappings": bool(mappings.mappings_of(aws, OURS)),
            "functions": bool(owned_functions(aws, OURS)),
            "state": bool(terraform.resources),
            "role": "shop-payment_processor" in roles,
            "objects": bool(aws.client("s3").list_object_versions(Bucket=OURS.bucket).get("Versions"))
            if terraform.resources
            else False,
        }
        seen.append((step, {name for name, yes in there.items() if yes}))

    destroyer(aws, terraform, before_step=look).run()
    assert seen == [
        ("preflight", {"mappings", "functions", "state", "role", "objects"}),
        ("mappings", {"mappings", "functions", "state", "role", "objects"}),
        ("functions", {"functions", "state", "role", "objects"}),
        ("interfaces", {"state", "role", "objects"}),
        ("buckets", {"state", "role", "objects"}),
        ("terraform", {"state", "role"}),
        ("log groups", set()),
        ("authority", set()),
        ("leftovers", set()),
    ]


class Killed(Exception):  # noqa: N818
    """Somebody pulls the plug."""


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_before_any_step_a_second_call_finishes(aws, terraform, step):
    def kill(name):
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        destroyer(aws, terraform, before_step=kill).run()
    assert destroyer(aws, terraform).run().clean


def test_interrupted_in_the_midst_of_terraform_a_second_call_finishes(aws, terraform):
    kind, identity, delete = terraform.resources[1]

    def kill():
        raise Killed

    terraform.resources[1] = (kind, identity, kill)
    with pytest.raises(Killed):
        destroyer(aws, terraform).run()
    terraform.resources[1] = (kind, identity, delete)
    # The key must outlive what its certificates serve.
    assert aws.client("secretsmanager").describe_secret(SecretId=OURS.ca_key_secret)
    assert destroyer(aws, terraform).run().clean


def test_a_second_call_after_a_good_one_finds_nothing_to_do(aws, terraform):
    destroyer(aws, terraform).run()
    terraform.calls.clear()
    assert destroyer(aws, terraform).run().clean
    assert "destroy" not in terraform.calls


def test_the_neighbour_is_not_touched(aws, terraform):
    neighbour = FakeTerraform(aws, NEIGHBOUR)
    keep(aws, NEIGHBOUR, find_or_make(aws, NEIGHBOUR, NOW))
    interface = make_interface(aws, neighbour.subnet)
    before = leftovers.find(aws, NEIGHBOUR)
    versions = aws.client("s3").list_object_versions(Bucket=NEIGHBOUR.bucket)["Versions"]
    destroyer(aws, terraform).run()
    assert leftovers.find(aws, NEIGHBOUR) == before
    assert len(aws.client("s3").list_object_versions(Bucket=NEIGHBOUR.bucket)["Versions"]) == len(versions)
    assert interface in {each.identity for each in before.left}


def test_a_leftover_is_named_and_is_an_error(aws, terraform):
    queue = aws.client("sqs").create_queue(QueueName="forgotten", tags=OURS.tags)["QueueUrl"]
    inventory = destroyer(aws, terraform).run()
    assert [each.identity for each in inventory.left] == [queue]
    with pytest.raises(DeploymentError, match="still there, and listed above: 1"):
        explain(inventory)


def test_a_log_group_that_comes_late_is_deleted(aws, terraform):
    def write_late(step):
        if step == "log groups":
            aws.client("logs").create_log_group(logGroupName="/aws/lambda/shop-payment_processor")

    assert destroyer(aws, terraform, before_step=write_late).run().clean


def test_terraform_gets_a_zip_for_each_service_even_where_none_was_built(aws, terraform):
    seen = {}
    original = terraform.destroy

    def look(*, variables, secrets):
        from pathlib import Path

        seen["zips"] = {path.stem for path in Path(variables["zips_dir"]).glob("*.zip")}
        seen["passwords"] = {*json.loads(secrets["kafka_passwords"]), *json.loads(secrets["host_passwords"])}
        original(variables=variables, secrets=secrets)

    terraform.destroy = look
    destroyer(aws, terraform).run()
    assert seen["zips"] == set(OURS.services)
    assert seen["passwords"] == set(OURS.logins)


def test_a_dry_run_changes_nothing(aws, terraform):
    before = leftovers.find(aws, OURS)
    inventory = destroyer(aws, terraform).dry_run()
    assert inventory == before == leftovers.find(aws, OURS)
    assert terraform.calls[-1] == "plan -destroy"
    assert {each.kind for each in inventory.left} >= {"VPC", "Lambda function", "event source mapping", "S3 bucket"}


@pytest.mark.parametrize("change", [{"account": "999999999999"}, {"region": "eu-west-1"}, {"name": "other"}])
def test_a_state_of_something_else_is_refused_before_anything_is_done(aws, terraform, change):
    from dataclasses import replace

    terraform.deployment = replace(OURS, **change)
    before = leftovers.find(aws, OURS)
    with pytest.raises(DeploymentError, match="Terraform's state belongs to"):
        destroyer(aws, terraform).run()
    assert leftovers.find(aws, OURS) == before


def test_an_empty_state_beside_a_living_deployment_touches_nothing(aws, terraform):
    """The state is somewhere else: a colleague's, or in a bucket that was not named."""
    resources, terraform.resources = terraform.resources, []
    before = leftovers.find(aws, OURS)
    assert destroyer(aws, terraform).run() == before == leftovers.find(aws, OURS)
    assert before.left
    assert resources


# --- Network interfaces ----------------------------------------------------------------------------------------------


def hold(aws, subnet):
    """An interface of Lambda's that is in use: only Lambda can take it away."""
    identity = make_interface(aws, subnet)
    made = aws.client("ec2").run_instances(
        ImageId=aws.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
        InstanceType="t2.micro", MinCount=1, MaxCount=1,
    )  # fmt: skip
    attachment = aws.client("ec2").attach_network_interface(
        NetworkInterfaceId=identity, InstanceId=made["Instances"][0]["InstanceId"], DeviceIndex=1
    )
    return identity, attachment["AttachmentId"]


def test_the_wait_ends_when_lambda_has_given_back_its_interfaces(aws):
    vpc, subnet = make_network(aws, OURS)
    identity, attachment = hold(aws, subnet)
    told, waiting = [], threading.Event()

    def tell(line):
        told.append(line)
        waiting.set()

    def lambda_gives_back():
        waiting.wait(20)
        aws.client("ec2").detach_network_interface(AttachmentId=attachment)

    thread = threading.Thread(target=lambda_gives_back)
    thread.start()
    try:
        assert interfaces.wait_until_gone(aws, {vpc}, tell=tell, limit_s=60, poll_s=0.05) == 1
    finally:
        thread.join()
    assert identity in told[0]
    assert "20 to 40 minutes" in told[0]
    assert interfaces.of_lambda(aws, {vpc}) == []


def test_the_wait_tells_every_half_minute_and_ends_at_its_limit(aws):
    vpc, subnet = make_network(aws, OURS)
    hold(aws, subnet)
    told = []
    ticks = iter(range(0, 10_000, 20))
    with pytest.raises(AwsError, match=r"after 1 min 40 s Lambda still holds 1 network interface .*roles"):
        interfaces.wait_until_gone(
            aws, {vpc}, tell=told.append, limit_s=100, poll_s=0.0, clock=lambda: float(next(ticks))
        )
    assert ["for 40 s so far" in line for line in told] == [False, True, False]
    assert len(interfaces.of_lambda(aws, {vpc})) == 1


def test_an_interface_that_nothing_uses_is_deleted_here(aws):
    vpc, subnet = make_network(aws, OURS)
    make_interface(aws, subnet)
    assert interfaces.wait_until_gone(aws, {vpc}, tell=silent, limit_s=20, poll_s=0.01) == 1


def test_an_interface_that_only_lambda_may_delete_is_waited_for(aws, monkeypatch):
    vpc, subnet = make_network(aws, OURS)
    make_interface(aws, subnet)

    def refuse(**_):
        raise ClientError({"Error": {"Code": "AuthFailure", "Message": "not yours"}}, "DeleteNetworkInterface")

    monkeypatch.setattr(aws.client("ec2"), "delete_network_interface", refuse)
    with pytest.raises(AwsError, match="Lambda still holds"):
        interfaces.wait_until_gone(aws, {vpc}, tell=silent, limit_s=0.05, poll_s=0.01)


def test_an_interface_in_the_functions_group_is_lambdas_whatever_it_is_called(aws, terraform, monkeypatch):
    """What Lambda writes on the interfaces of its pollers is documented nowhere."""
    made = aws.client("ec2").create_network_interface(
        SubnetId=terraform.subnet, Description="poller of order_placed", Groups=[terraform.group]
    )["NetworkInterface"]["NetworkInterfaceId"]
    default = make_interface(aws, terraform.subnet, of_lambda=False)
    found = [each.identity for each in interfaces.of_lambda(aws, {terraform.vpc}, "shop-lambdas")]
    assert found == [made]
    monkeypatch.setattr(aws.client("ec2"), "delete_network_interface", lambda **_: None)
    with pytest.raises(AwsError, match=f"Lambda still holds 1 network interface .{made}."):
        destroyer(aws, terraform, interface_limit_s=0.0).run()
    assert "destroy" not in terraform.calls
    assert default


def test_others_interfaces_are_neither_waited_for_nor_deleted(aws):
    vpc, subnet = make_network(aws, OURS)
    own = make_interface(aws, subnet, of_lambda=False)
    _, foreign = make_network(aws, NEIGHBOUR, "10.30.0.0/16")
    theirs = make_interface(aws, foreign)
    assert interfaces.wait_until_gone(aws, {vpc}, tell=silent, limit_s=0, poll_s=0.0) == 0
    there = {
        each["NetworkInterfaceId"] for each in aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    }
    assert {own, theirs} <= there


def test_the_time_limit_stops_the_destruction_before_roles_and_groups_go(aws, terraform):
    hold(aws, terraform.subnet)
    with pytest.raises(AwsError, match="Lambda still holds"):
        destroyer(aws, terraform, interface_limit_s=0.0).run()
    assert "destroy" not in terraform.calls
    assert aws.client("iam").get_role(RoleName="shop-payment_processor")


# --- Mappings --------------------------------------------------------------------------------------------------------


def test_mappings_that_do_not_go_are_named(aws, terraform, monkeypatch):
    client = aws.client("lambda")
    monkeypatch.setattr(client, "delete_event_source_mapping", lambda UUID: None)  # noqa: N803 - AWS's name
    with pytest.raises(AwsError, match=r"Lambda still has 1 event source mappings: .* of shop-payment_processor"):
        mappings.remove(aws, OURS, tell=silent, limit_s=0.0, poll_s=0.0)


def test_a_mapping_is_disabled_before_it_is_deleted(aws, terraform, monkeypatch):
    client, calls = aws.client("lambda"), []
    for name in ("update_event_source_mapping", "delete_event_source_mapping"):
        original = getattr(client, name)
        monkeypatch.setattr(
            client, name, lambda name=name, original=original, **each: (calls.append(name), original(**each))
        )
    assert mappings.remove(aws, OURS, tell=silent, poll_s=0.01) == 1
    assert calls[:2] == ["update_event_source_mapping", "delete_event_source_mapping"]
    assert mappings.mappings_of(aws, OURS) == []


def test_what_ends_soon_is_seen_soon_and_what_takes_long_is_not_asked_for_all_the_time():
    first = list(islice(pauses(10.0), 6))
    assert first == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert list(islice(pauses(0.01), 2)) == [0.01, 0.01]
