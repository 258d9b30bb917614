"""The search for leftovers finds each kind that a deployment can leave, never a neighbour's; silence is no proof."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from shopstream.aws import leftovers
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.listing import LISTERS, split_arn
from shopstream.aws.leftovers.model import Found, Lister, Scope, Unasked
from tests.aws_account import (
    NEIGHBOUR,
    OURS,
    account,
    aws,
    make_function,
    make_mapping,
    make_network,
    make_role,
    specification,
    stand_in,
)

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def image(aws):
    return aws.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def instance(aws, who):
    _, subnet = make_network(aws, who)
    made = aws.client("ec2").run_instances(
        ImageId=image(aws), InstanceType="t2.micro", MinCount=1, MaxCount=1, SubnetId=subnet,
        TagSpecifications=specification("instance", who),
    )  # fmt: skip
    return made["Instances"][0]["InstanceId"]


def volume(aws, who):
    made = aws.client("ec2").create_volume(
        AvailabilityZone="us-east-1a", Size=8, TagSpecifications=specification("volume", who)
    )
    return made["VolumeId"]


def attached_volume(aws, who):
    """A root disk: it has no tags of its own."""
    identity = instance(aws, who)
    mappings = aws.client("ec2").describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"][0]
    return mappings["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]


def snapshot(aws, who):
    made = aws.client("ec2").create_snapshot(
        VolumeId=volume(aws, who), TagSpecifications=specification("snapshot", who)
    )
    return made["SnapshotId"]


def address(aws, who):
    made = aws.client("ec2").allocate_address(Domain="vpc", TagSpecifications=specification("elastic-ip", who))
    return made["AllocationId"]


def tagged_interface(aws, who):
    ec2 = aws.client("ec2")
    foreign = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=foreign, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet, TagSpecifications=specification("network-interface", who))
    return made["NetworkInterface"]["NetworkInterfaceId"]


def interface_by_vpc(aws, who):
    _, subnet = make_network(aws, who)
    return aws.client("ec2").create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]


def vpc(aws, who):
    return make_network(aws, who)[0]


def subnet_by_vpc(aws, who):
    return make_network(aws, who)[1]


def route_table_by_vpc(aws, who):
    made = aws.client("ec2").create_route_table(VpcId=make_network(aws, who)[0])
    return made["RouteTable"]["RouteTableId"]


def gateway(aws, who):
    made = aws.client("ec2").create_internet_gateway(TagSpecifications=specification("internet-gateway", who))
    return made["InternetGateway"]["InternetGatewayId"]


def gateway_by_vpc(aws, who):
    ec2 = aws.client("ec2")
    identity = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=make_network(aws, who)[0])
    return identity


def nat(aws, who):
    _, subnet = make_network(aws, who)
    made = aws.client("ec2").create_nat_gateway(SubnetId=subnet, AllocationId=address(aws, who))
    return made["NatGateway"]["NatGatewayId"]


def endpoint(aws, who):
    network, _ = make_network(aws, who)
    made = aws.client("ec2").create_vpc_endpoint(
        VpcId=network, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway"
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def security_group(aws, who):
    made = aws.client("ec2").create_security_group(
        GroupName=f"{who.name}-lambdas", Description="functions", VpcId=make_network(aws, who)[0]
    )
    return made["GroupId"]


def network_acl(aws, who):
    made = aws.client("ec2").create_network_acl(VpcId=make_network(aws, who)[0])
    return made["NetworkAcl"]["NetworkAclId"]


def key_pair(aws, who):
    made = aws.client("ec2").create_key_pair(
        KeyName=f"{who.name}-admin", TagSpecifications=specification("key-pair", who)
    )
    return made["KeyPairId"]


def role(aws, who):
    make_role(aws, f"{who.name}-notification_handler", who)
    return f"{who.name}-notification_handler"


def policy(aws, who):
    made = aws.client("iam").create_policy(
        PolicyName=f"{who.name}-policy",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
        Tags=who.tag_list,
    )
    return made["Policy"]["Arn"]


def profile(aws, who):
    aws.client("iam").create_instance_profile(InstanceProfileName=f"{who.name}-host", Tags=who.tag_list)
    return f"{who.name}-host"


def function(aws, who):
    return make_function(aws, f"{who.name}-order_generator", who)["FunctionName"]


def layer(aws, who):
    aws.client("lambda").publish_layer_version(LayerName=f"{who.name}-dependencies", Content={"ZipFile": b"zip"})
    return f"{who.name}-dependencies"


def mapping(aws, who):
    name = make_function(aws, f"{who.name}-payment_processor", who)["FunctionName"]
    return make_mapping(aws, name, "order_placed", f"{who.name}.order_placed")


def orphaned_mapping(aws, who):
    """A mapping whose function is gone."""
    name = make_function(aws, f"{who.name}-shipping_handler", who)["FunctionName"]
    identity = make_mapping(aws, name, "payment_result", f"{who.name}.payment_result")
    aws.client("lambda").delete_function(FunctionName=name)
    return identity


def log_group(aws, who):
    aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/{who.name}-payment_processor", tags=who.tags)
    return f"/aws/lambda/{who.name}-payment_processor"


def late_log_group(aws, who):
    """One that the function made itself, without tags."""
    aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/{who.name}-order_generator")
    return f"/aws/lambda/{who.name}-order_generator"


def secret(aws, who):
    aws.client("secretsmanager").create_secret(
        Name=who.user_secret("admin"), SecretString="{}", Tags=who.tag_list
    )  # fmt: skip
    return who.user_secret("admin")


def table(aws, who):
    aws.client("dynamodb").create_table(
        TableName=f"{who.name}-shipping_handler_state",
        AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=who.tag_list,
    )
    return f"{who.name}-shipping_handler_state"


def queue(aws, who):
    return aws.client("sqs").create_queue(QueueName=f"{who.name}-failures", tags=who.tags)["QueueUrl"]


def topic(aws, who):
    return aws.client("sns").create_topic(Name=f"{who.name}-alarms", Tags=who.tag_list)["TopicArn"]


def rule(aws, who):
    aws.client("events").put_rule(
        Name=f"{who.name}-order_generator", ScheduleExpression="rate(1 minute)", Tags=who.tag_list
    )
    return f"{who.name}-order_generator"


def schedule_group(aws, who):
    aws.client("scheduler").create_schedule_group(Name=f"{who.name}-schedules", Tags=who.tag_list)
    return f"{who.name}-schedules"


def schedule(aws, who):
    arn = make_function(aws, f"{who.name}-inventory_manager", who)["FunctionArn"]
    aws.client("scheduler").create_schedule(
        Name=f"{who.name}-orders", FlexibleTimeWindow={"Mode": "OFF"}, ScheduleExpression="rate(1 minute)",
        Target={"Arn": arn, "RoleArn": arn.replace("lambda", "iam")},
    )  # fmt: skip
    return f"default/{who.name}-orders"


def alarm(aws, who):
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{who.name}-errors", MetricName="Errors", Namespace="AWS/Lambda", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", Tags=who.tag_list,
    )  # fmt: skip
    return f"{who.name}-errors"


def dashboard(aws, who):
    aws.client("cloudwatch").put_dashboard(DashboardName=who.name, DashboardBody='{"widgets": []}')
    return who.name


def budget(aws, who):
    aws.client("budgets").create_budget(
        AccountId=who.account,
        Budget={
            "BudgetName": who.name, "BudgetType": "COST", "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "50", "Unit": "USD"},
        },
        ResourceTags=who.tag_list,
    )  # fmt: skip
    return who.name


def bucket(aws, who):
    client = aws.client("s3")
    client.create_bucket(Bucket=who.bucket)
    client.put_bucket_tagging(Bucket=who.bucket, Tagging={"TagSet": who.tag_list})
    client.put_object(Bucket=who.bucket, Key="lambdas/a.zip", Body=b"zip")
    return who.bucket


def untagged_bucket(aws, who):
    aws.client("s3").create_bucket(Bucket=who.bucket)
    return who.bucket


def zone(aws, who):
    client = aws.client("route53")
    identity = client.create_hosted_zone(Name=f"{who.name}.internal", CallerReference=who.name)["HostedZone"]["Id"]
    client.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=identity.rpartition("/")[2], AddTags=who.tag_list
    )
    return identity


def parameter(aws, who):
    aws.client("ssm").put_parameter(Name=f"/{who.name}/setting", Value="1", Type="String", Tags=who.tag_list)
    return f"/{who.name}/setting"


def key(aws, who):
    tags = [{"TagKey": name, "TagValue": value} for name, value in who.tags.items()]
    return aws.client("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]


PLANTS = {
    instance: "EC2 instance", volume: "EBS volume", attached_volume: "EBS volume", snapshot: "EBS snapshot",
    address: "elastic address", tagged_interface: "network interface", interface_by_vpc: "network interface",
    vpc: "VPC", subnet_by_vpc: "subnet", route_table_by_vpc: "route table", gateway: "internet gateway",
    gateway_by_vpc: "internet gateway", nat: "NAT gateway", endpoint: "VPC endpoint",
    security_group: "security group", network_acl: "network ACL", key_pair: "key pair", role: "IAM role",
    policy: "IAM policy", profile: "instance profile", function: "Lambda function", layer: "Lambda layer",
    mapping: "event source mapping", orphaned_mapping: "event source mapping", log_group: "log group",
    late_log_group: "log group", secret: "secret", table: "DynamoDB table", queue: "SQS queue", topic: "SNS topic",
    rule: "EventBridge rule", schedule_group: "schedule group", schedule: "schedule", alarm: "CloudWatch alarm",
    dashboard: "CloudWatch dashboard", budget: "budget", bucket: "S3 bucket",
    zone: "Route 53 zone", parameter: "SSM parameter", key: "KMS key",
}  # fmt: skip


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
    without = {"machine image", "VPC flow log", "launch template", "DHCP options"}
    assert {lister.kind for lister in LISTERS} - without == set(PLANTS.values())


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
