"""The search for leftovers finds each kind that a deployment can leave, never a neighbour's; silence is no proof."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from shopstream.aws import leftovers
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.listing import LISTERS, split_arn
from shopstream.aws.leftovers.model import Found, Lister, Scope, Unasked
from tests.aws_account import NEIGHBOUR, OURS, account, aws, make_role, stand_in
from tests.aws_plants import (
    PLANTS,
    image,
    instance,
    late_log_group,
    nat,
    queue,
    secret,
    table,
    untagged_bucket,
)

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def found(inventory):
    assert inventory.unasked == ()
    return {(each.kind, each.identity) for each in inventory.left}


def test_an_account_without_a_deployment_has_nothing_of_it(aws):
    inventory = leftovers.find(aws, OURS)
    assert inventory.found == ()
    assert inventory.clean


@pytest.fixture(scope="module")
def searches(stand_in, account):
    """A search when only the neighbour's things are there, ours planted, and the search after that."""
    stand_in.reset()
    for plant in PLANTS:
        plant(account, NEIGHBOUR)
    before = leftovers.find(account, OURS)
    planted = {plant: plant(account, OURS) for plant in PLANTS}
    return before, planted, leftovers.find(account, OURS)


def test_a_neighbours_things_are_never_listed(searches):
    before, _, _ = searches
    assert found(before) == set()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_leftover_is_found(searches, plant):
    _, planted, after = searches
    assert (PLANTS[plant], planted[plant]) in found(after)


def test_every_lister_has_a_plant():
    assert {lister.kind for lister in LISTERS} == set(PLANTS.values())


PART_OF_ITS_PARENT = "part of its parent"
MADE_BY_TERRAFORM = {
    "aws_budgets_budget": "budget",
    "aws_cloudwatch_dashboard": "CloudWatch dashboard",
    "aws_cloudwatch_event_rule": "EventBridge rule",
    "aws_cloudwatch_event_target": PART_OF_ITS_PARENT,
    "aws_cloudwatch_log_group": "log group",
    "aws_cloudwatch_metric_alarm": "CloudWatch alarm",
    "aws_default_security_group": PART_OF_ITS_PARENT,  # the network's own
    "aws_dynamodb_table": "DynamoDB table",
    "aws_eip": "elastic address",
    "aws_iam_role": "IAM role",
    "aws_iam_role_policy": PART_OF_ITS_PARENT,
    "aws_iam_role_policy_attachment": PART_OF_ITS_PARENT,
    "aws_instance": "EC2 instance",
    "aws_internet_gateway": "internet gateway",
    "aws_key_pair": "key pair",
    "aws_lambda_event_source_mapping": "event source mapping",
    "aws_lambda_function": "Lambda function",
    "aws_lambda_permission": PART_OF_ITS_PARENT,
    "aws_nat_gateway": "NAT gateway",
    "aws_route": PART_OF_ITS_PARENT,
    "aws_route_table": "route table",
    "aws_route_table_association": PART_OF_ITS_PARENT,
    "aws_s3_bucket": "S3 bucket",
    "aws_s3_bucket_ownership_controls": PART_OF_ITS_PARENT,
    "aws_s3_bucket_policy": PART_OF_ITS_PARENT,
    "aws_s3_bucket_public_access_block": PART_OF_ITS_PARENT,
    "aws_s3_bucket_server_side_encryption_configuration": PART_OF_ITS_PARENT,
    "aws_s3_bucket_versioning": PART_OF_ITS_PARENT,
    "aws_s3_object": PART_OF_ITS_PARENT,  # a bucket with one cannot be deleted, and is listed as not empty
    "aws_secretsmanager_secret": "secret",
    "aws_secretsmanager_secret_version": PART_OF_ITS_PARENT,
    "aws_security_group": "security group",
    "aws_sns_topic": "SNS topic",
    "aws_sns_topic_subscription": PART_OF_ITS_PARENT,
    "aws_subnet": "subnet",
    "aws_vpc": "VPC",
    "aws_vpc_endpoint": "VPC endpoint",
    "aws_vpc_security_group_egress_rule": PART_OF_ITS_PARENT,
    "aws_vpc_security_group_ingress_rule": PART_OF_ITS_PARENT,
}
"""The kind under which each of Terraform's types is searched for, unless it ends with what it belongs to."""


def test_every_type_that_terraform_makes_is_searched_for():
    module = Path(__file__).parent.parent / "infra" / "terraform"
    text = "\n".join(file.read_text(encoding="utf-8") for file in module.glob("*.tf"))
    types = set(re.findall(r'^resource "([^"]+)"', text, re.MULTILINE))
    assert types == MADE_BY_TERRAFORM.keys()
    assert set(MADE_BY_TERRAFORM.values()) - {PART_OF_ITS_PARENT} <= {lister.kind for lister in LISTERS}


def test_our_bucket_is_ours_even_without_tags(aws):
    assert found(leftovers.find(aws, OURS)) == set()
    untagged_bucket(aws, NEIGHBOUR)
    identity = untagged_bucket(aws, OURS)
    assert found(leftovers.find(aws, OURS)) == {("S3 bucket", identity)}


def test_what_stands_untagged_in_the_default_network_is_nobodys(aws):
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet)
    ec2.run_instances(ImageId=image(aws), InstanceType="t2.micro", MinCount=1, MaxCount=1)
    assert leftovers.find(aws, OURS).clean


def test_what_aws_shows_after_its_end_is_no_leftover(aws):
    ec2 = aws.client("ec2")
    ec2.terminate_instances(InstanceIds=[instance(aws, OURS)])
    ec2.delete_nat_gateway(NatGatewayId=nat(aws, OURS))
    kinds = {kind for kind, _ in found(leftovers.find(aws, OURS))}
    assert not kinds & {"EC2 instance", "NAT gateway"}


def test_a_network_that_is_known_otherwise_is_looked_into(aws):
    ec2 = aws.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="a", Description="a", VpcId=network)["GroupId"]
    assert found(leftovers.find(aws, OURS)) == set()
    assert ("security group", group) in found(leftovers.find(aws, OURS, vpcs=[network]))


def test_a_secret_that_waits_for_its_deletion_is_shown_apart(aws):
    secret(aws, OURS)
    aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("admin"), RecoveryWindowInDays=7)
    inventory = leftovers.find(aws, OURS)
    assert inventory.left == ()
    assert [(each.kind, each.identity) for each in inventory.ending] == [("secret", OURS.user_secret("admin"))]
    assert inventory.clean


def test_more_than_one_page_is_read(aws):
    for number in range(120):
        make_role(aws, f"other-{number:03}", NEIGHBOUR)
    make_role(aws, "zz-last", OURS)
    for number in range(60):
        aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/shop-{number:03}")
    late = late_log_group(aws, OURS)
    for number in range(101):
        aws.client("dynamodb").create_table(
            TableName=f"aa-{number:03}",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    last = table(aws, OURS)
    assert found(leftovers.find(aws, OURS)) == {
        ("IAM role", "zz-last"),
        ("log group", late),
        ("DynamoDB table", last),
    }


def denied(scope):
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "you may not"}}, "ListThings")


def test_a_kind_that_cannot_be_asked_is_named_and_the_others_are_still_listed(aws):
    identity = queue(aws, OURS)
    listers = [Lister("thing", "thing:", denied), *(each for each in LISTERS if each.kind == "SQS queue")]
    inventory = leftovers.find(aws, OURS, listers=listers)
    assert inventory.unasked == (Unasked("thing", "AccessDenied: you may not"),)
    assert [each.identity for each in inventory.left] == [identity]
    assert not leftovers.find(aws, NEIGHBOUR, listers=listers).clean


@pytest.mark.parametrize(("code", "listed"), [("NoSuchTagSet", [OURS.bucket]), ("NoSuchBucket", [])])
def test_what_is_listed_after_its_end_is_not_ours_by_its_name(code, listed):
    def tags(_):
        raise ClientError({"Error": {"Code": code}}, "GetBucketTagging")

    scope = Scope(None, OURS, frozenset())
    found = tagged(scope, "S3 bucket", [OURS.bucket], name=str, tags=tags, names=[OURS.bucket])
    assert [each.identity for each in found] == listed


def test_what_was_found_before_an_error_stays_found(aws):
    def search(scope):
        yield Found("thing", "first")
        denied(scope)

    inventory = leftovers.find(aws, OURS, listers=[Lister("thing", "thing:", search)])
    assert inventory.left == (Found("thing", "first"),)
    assert not inventory.clean


def test_the_tagging_api_finds_what_has_no_lister(aws):
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue(aws, OURS), AttributeNames=["QueueArn"])
    inventory = leftovers.find(aws, OURS, listers=())
    assert [each.identity for each in inventory.left] == [arn["Attributes"]["QueueArn"]]


@pytest.mark.parametrize(
    ("arn", "parts"),
    [
        ("arn:aws:s3:::a-bucket", ("s3", "a-bucket")),
        ("arn:aws:ec2:us-east-1:1:vpc/vpc-1", ("ec2", "vpc/vpc-1")),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/x:*", ("logs", "log-group:/aws/x:*")),
    ],
)
def test_an_arn_is_taken_apart(arn, parts):
    assert split_arn(arn) == parts


def test_the_result_can_be_written_as_json(aws):
    secret(aws, OURS)
    data = json.loads(json.dumps(leftovers.find(aws, OURS).as_dict()))
    assert not data["clean"]
    assert [each["kind"] for each in data["left"]] == ["secret"]
