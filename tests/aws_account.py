"""An AWS account on loopback for the tests of shopstream.aws, and two deployments that could be mixed up."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest

from shopstream import topology as topologies
from shopstream.aws.account import Aws
from shopstream.aws.ownership import Deployment
from shopstream.rehearsal.aws import ACCOUNT_ID, AwsStandIn

REGION = "us-east-1"
TOPOLOGY = topologies.load(topologies.default_path())

NOW = datetime(2026, 11, 23, tzinfo=UTC)

OURS = Deployment.of(TOPOLOGY, name="shop", account=ACCOUNT_ID, region=REGION)
# Its names begin like ours.
NEIGHBOUR = Deployment.of(TOPOLOGY, name="shop-two", account=ACCOUNT_ID, region=REGION)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    with AwsStandIn(tmp_path_factory.mktemp("aws") / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def account(stand_in):
    """The account, with clients that every test of a module shares: making them takes longer than using them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in stand_in.environment().items():
            patch.setenv(name, value)
        with Aws(boto3.session.Session(region_name=REGION), REGION) as shared:
            yield shared


@pytest.fixture
def aws(stand_in, account):
    """The account, empty."""
    stand_in.reset()
    return account


def specification(kind, deployment):
    """Tags for an EC2 thing that is being made."""
    return [{"ResourceType": kind, "Tags": deployment.tag_list}]


def make_role(aws, name, deployment):
    aws.client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
        '"Principal":{"Service":"lambda.amazonaws.com"}}]}',
        Tags=deployment.tag_list,
    )
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"


def make_function(aws, name, deployment, *, code=b"code", role=None, **settings):
    """A function, made as Terraform makes it: from a zip."""
    return aws.client("lambda").create_function(
        FunctionName=name,
        Role=role or make_role(aws, name, deployment),
        Code={"ZipFile": code},
        Tags=deployment.tags,
        **{"Runtime": "python3.13", "Handler": "a.handler", **settings},
    )


def make_mapping(aws, function, topic, group, *, user="arn:aws:secretsmanager:us-east-1:1:secret:u-abcdef",
                 certificate="arn:aws:secretsmanager:us-east-1:1:secret:c-abcdef", brokers=("10.20.0.21:9094",),
                 access=(), enabled=False, **more):  # fmt: skip
    """An event source mapping for a Kafka of one's own."""
    return aws.client("lambda").create_event_source_mapping(
        FunctionName=function,
        Topics=[topic],
        StartingPosition="TRIM_HORIZON",
        Enabled=enabled,
        SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(brokers)}},
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": group},
        SourceAccessConfigurations=[
            {"Type": "SASL_SCRAM_512_AUTH", "URI": user},
            {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": certificate},
            *access,
        ],
        **more,
    )["UUID"]


def make_network(aws, deployment, cidr="10.20.0.0/16"):
    """A network with one subnet."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=cidr, TagSpecifications=specification("vpc", deployment))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr.replace("/16", "/20"))["Subnet"]["SubnetId"]
    return vpc, subnet


def make_interface(aws, subnet, *, of_lambda=True):
    """A network interface as Lambda makes them, recognisable by its description alone."""
    description = "AWS Lambda VPC ENI-shop-order_generator-1b2c" if of_lambda else "somebody's own"
    answer = aws.client("ec2").create_network_interface(SubnetId=subnet, Description=description)
    return answer["NetworkInterface"]["NetworkInterfaceId"]
