"""The check after a deployment finds everything that is missing or different, and nothing where all is well."""

from __future__ import annotations

import pytest

from shopstream.aws.confirm import Expected, confirm
from shopstream.aws.confirm.functions import mappings, sha256
from shopstream.aws.confirm.model import Check, Network
from tests.aws_account import OURS, TOPOLOGY, account, aws, make_mapping, stand_in
from tests.aws_world import World, zipped

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]

BUCKET = f"bucket {OURS.bucket}"


def public_access(world):
    world.aws.client("s3").delete_public_access_block(Bucket=OURS.bucket)


def unversioned(world):
    world.aws.client("s3").put_bucket_versioning(Bucket=OURS.bucket, VersioningConfiguration={"Status": "Suspended"})


def plain_http(world):
    world.aws.client("s3").delete_bucket_policy(Bucket=OURS.bucket)


def ssh_from_elsewhere(world):
    world.allow("ssh", 22, cidr="198.51.100.0/24")


def kafka_from_outside(world):
    world.allow("kafka", 9094, cidr="10.0.0.0/8")


def another_port_of_kafka(world):
    world.allow("kafka", 7000, cidr="10.0.0.0/8")


def a_port_open_to_all(world):
    world.allow("monitoring", 3000, cidr="0.0.0.0/0")


def closed_to_control_center(world):
    world.ec2.revoke_security_group_ingress(
        GroupId=world.groups["kafka"],
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 9093, "ToPort": 9093,
                        "UserIdGroupPairs": [{"GroupId": world.groups["control-center"]}]}],
    )  # fmt: skip


def no_gateway(world):
    world.ec2.detach_internet_gateway(InternetGatewayId=world.gateway, VpcId=world.vpc)


def stopped(world):
    world.ec2.stop_instances(InstanceIds=[world.instances["kafka1"]])


def terminated(world):
    world.ec2.terminate_instances(InstanceIds=[world.instances["zookeeper3"]])


def without_ssh(world):
    world.ec2.modify_instance_attribute(InstanceId=world.instances["kafka2"], Groups=[world.groups["monitoring"]])


def other_tags(world):
    world.ec2.create_tags(Resources=[world.instances["kafka3"]], Tags=[{"Key": "Role", "Value": "zookeeper"}])


def no_role_policy(world):
    world.aws.client("iam").detach_role_policy(
        RoleName="shop-order_generator",
        PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    )


def no_secret(world):
    world.aws.client("secretsmanager").delete_secret(
        SecretId=OURS.user_secret("dashboard"), ForceDeleteWithoutRecovery=True
    )


def dying_secret(world):
    world.aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("auditor"))


def no_table(world):
    world.aws.client("dynamodb").delete_table(TableName=OURS.tables[0])


def other_code(world):
    world.aws.client("lambda").update_function_code(
        FunctionName="shop-payment_processor", ZipFile=zipped("something else")
    )


def other_handler(world):
    world.aws.client("lambda").update_function_configuration(
        FunctionName="shop-inventory_manager", Handler="other.handler"
    )


def no_environment(world):
    world.aws.client("lambda").update_function_configuration(
        FunctionName="shop-shipping_handler", Environment={"Variables": {"METRICS_NAMESPACE": "shop"}}
    )


def no_retention(world):
    world.aws.client("logs").delete_retention_policy(logGroupName="/aws/lambda/shop-order_generator")


def no_log_group(world):
    world.aws.client("logs").delete_log_group(logGroupName="/aws/lambda/shop-payment_processor")


def enabled_mapping(world):
    world.aws.client("lambda").update_event_source_mapping(
        UUID=world.mappings["payment_processor.order_placed"], Enabled=True
    )


def no_mapping(world):
    world.aws.client("lambda").delete_event_source_mapping(UUID=world.mappings["shipping_handler.payment_result"])


def strange_mapping(world):
    make_mapping(world.aws, "shop-notification_handler", "notifications", "a.group.of.its.own")


def other_group(world):
    client = world.aws.client("lambda")
    client.delete_event_source_mapping(UUID=world.mappings["inventory_manager.order_placed"])
    make_mapping(world.aws, "shop-inventory_manager", "order_placed", "another.group")


def other_role(world):
    client = world.aws.client("lambda")
    role = client.get_function_configuration(FunctionName="shop-order_generator")["Role"]
    client.update_function_configuration(FunctionName="shop-notification_handler", Role=role)


def changed(world, group, **settings):
    world.aws.client("lambda").update_event_source_mapping(UUID=world.mappings[group], **settings)


def access_of(world, group, *, without, **more):
    """What a mapping was given to reach Kafka with, one kind of it replaced."""
    answer = world.aws.client("lambda").get_event_source_mapping(UUID=world.mappings[group])
    kept = [each for each in answer["SourceAccessConfigurations"] if each["Type"] != without]
    return [*kept, *({"Type": without, "URI": uri} for uri in more["uris"])]


def pollers_in_other_subnets(world):
    group, uris = "payment_processor.order_cancelled", [f"subnet:{each}" for each in world.public]
    changed(world, group, SourceAccessConfigurations=access_of(world, group, without="VPC_SUBNET", uris=uris))


def pollers_in_another_group(world):
    group, uris = "inventory_manager.order_cancelled", [f"security_group:{world.groups['monitoring']}"]
    changed(world, group, SourceAccessConfigurations=access_of(world, group, without="VPC_SECURITY_GROUP", uris=uris))


def other_batches(world):
    changed(world, "shipping_handler.inventory_result", BatchSize=7)


def provisioned_pollers(world):
    changed(world, "notification_handler.order_shipped",
            ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 2})  # fmt: skip


def partial_responses(world):
    changed(world, "notification_handler.order_cancelled", FunctionResponseTypes=["ReportBatchItemFailures"],
            ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 2})  # fmt: skip


# Each defect with the lines that must not be ok any more.
DEFECTS = {
    public_access: {f"{BUCKET}: private"},
    unversioned: {f"{BUCKET}: versioned"},
    plain_http: {f"{BUCKET}: TLS only"},
    ssh_from_elsewhere: {"security group shop-ssh: SSH"},
    kafka_from_outside: {"security group shop-kafka: port 9094"},
    another_port_of_kafka: {"security group shop-kafka: anything else"},
    a_port_open_to_all: {"security group shop-monitoring"},
    closed_to_control_center: {"security group shop-kafka: port 9093"},
    no_gateway: {"internet gateway", "route to the internet from public subnets"},
    stopped: {"instance kafka1"},
    terminated: {"instance zookeeper3"},
    without_ssh: {"instance kafka2"},
    other_tags: {"instance kafka3"},
    no_role_policy: {"role shop-order_generator"},
    no_secret: {"secret shop/kafka/dashboard"},
    dying_secret: {"secret shop/kafka/auditor"},
    no_table: {f"table {OURS.tables[0]}"},
    other_code: {"function shop-payment_processor"},
    other_handler: {"function shop-inventory_manager"},
    no_environment: {"function shop-shipping_handler"},
    no_retention: {"log group /aws/lambda/shop-order_generator"},
    no_log_group: {"log group /aws/lambda/shop-payment_processor"},
    enabled_mapping: {"mapping order_placed to shop-payment_processor"},
    no_mapping: {"mapping payment_result to shop-shipping_handler"},
    strange_mapping: {"mapping notifications to shop-notification_handler"},
    other_group: {"mapping order_placed to shop-inventory_manager"},
    other_role: {"function shop-notification_handler"},
    pollers_in_other_subnets: {"mapping order_cancelled to shop-payment_processor"},
    pollers_in_another_group: {"mapping order_cancelled to shop-inventory_manager"},
    other_batches: {"mapping inventory_result to shop-shipping_handler"},
    provisioned_pollers: {"mapping order_shipped to shop-notification_handler"},
    partial_responses: {"mapping order_cancelled to shop-notification_handler"},
}


@pytest.fixture(scope="module")
def checked(stand_in, account, tmp_path_factory):
    """The lines about a sound deployment, and those about the same with every defect."""
    stand_in.reset()
    world = World(account, tmp_path_factory.mktemp("zips"))
    sound = confirm(account, world.expected)
    for defect in DEFECTS:
        defect(world)
    return sound, confirm(account, world.expected)


def test_a_sound_deployment_is_found_sound(checked):
    sound, _ = checked
    assert [line for line in sound if not line.ok] == []
    assert len(sound) > 50


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_is_found(checked, defect):
    _, spoiled = checked
    wrong = {line.what: line for line in spoiled if not line.ok}
    assert DEFECTS[defect] <= set(wrong)
    assert all(wrong[what].wanted for what in DEFECTS[defect])


def test_nothing_else_is_complained_about(checked):
    _, spoiled = checked
    assert {line.what for line in spoiled if not line.ok} == set().union(*DEFECTS.values())


def test_no_line_shows_a_secrets_value(checked, account):
    key = account.client("secretsmanager").get_secret_value(SecretId=OURS.ca_key_secret)["SecretString"]
    for lines in checked:
        assert "PRIVATE KEY" in key
        assert not [line for line in lines if "PRIVATE" in str(line)]


NETWORK = Network("vpc-1", frozenset(), frozenset({"subnet-1", "subnet-2"}), {"shop-lambdas": "sg-1"})


class OneMapping:
    """Lambda's interface, as far as the look at mappings needs it, with one mapping."""

    def __init__(self, **more):
        self.item = {
            "UUID": "1", "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:shop-payment_processor",
            "Topics": ["order_placed"], "State": "Enabled",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9094", "b:9094"]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "payment_processor.order_placed"},
            "SourceAccessConfigurations": [
                {"Type": kind, "URI": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{secret}-abcdef"}
                for kind, secret in (
                    ("SASL_SCRAM_512_AUTH", OURS.user_secret("payment_processor")),
                    ("SERVER_ROOT_CA_CERTIFICATE", OURS.ca_secret),
                )
            ] + [
                {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"}, {"Type": "VPC_SUBNET", "URI": "subnet:subnet-2"},
                {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
            ],
            "BatchSize": 100,
            **more,
        }  # fmt: skip

    def client(self, _):
        return self

    def can_paginate(self, _):
        return False

    def list_event_source_mappings(self):
        return {"EventSourceMappings": [self.item]}

    def list_tags(self, **_):
        return {"Tags": OURS.tags}


@pytest.mark.parametrize(
    ("brokers", "result", "wanted"),
    [
        ("a:9094,b:9094", "No records processed", ""),
        ("b:9094,a:9094", "OK", ""),  # Lambda has an order of its own
        ("a:9094,c:9094", "OK", "brokers a:9094,c:9094"),
        ("a:9094,b:9094", "PROBLEM: Connection error.", "at work, where Lambda says PROBLEM: Connection error."),
    ],
)
def test_a_mapping_is_judged_by_what_lambda_says_of_it(brokers, result, wanted):
    expected = Expected(OURS, TOPOLOGY, "public", "203.0.113.7/32", (), brokers, mappings_enabled=True)
    lines = {each.what: each for each in mappings(Check(OneMapping(LastProcessingResult=result), expected, NETWORK))}
    assert lines["mapping order_placed to shop-payment_processor"].wanted == wanted


PROVISIONED = {
    "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 3},
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
}


@pytest.mark.parametrize(
    ("mode", "item", "private", "wanted"),
    [
        ("on_demand", {}, {"subnet-1", "subnet-2"}, ""),
        ("provisioned", PROVISIONED, {"subnet-1", "subnet-2"}, ""),
        ("on_demand", {}, {"subnet-1"}, "pollers in the private subnets, not in subnet-1, subnet-2"),
        ("on_demand", {"BatchSize": 7}, {"subnet-1", "subnet-2"}, "batches of 100, not 7"),
        (
            "provisioned",
            {},
            {"subnet-1", "subnet-2"},
            "poller_mode provisioned, not on_demand, partial responses read, as belongs to poller_mode provisioned",
        ),
        (
            "on_demand",
            PROVISIONED,
            {"subnet-1", "subnet-2"},
            "poller_mode on_demand, not provisioned, partial responses not read, as belongs to poller_mode on_demand",
        ),
        (
            "provisioned",
            {"ProvisionedPollerConfig": {"MinimumPollers": 1}},
            {"subnet-1", "subnet-2"},
            "partial responses read, as belongs to poller_mode provisioned",
        ),
    ],
)
def test_a_mappings_pollers_are_judged(mode, item, private, wanted):
    expected = Expected(OURS, TOPOLOGY, "public", "203.0.113.7/32", (), "a:9094,b:9094", mappings_enabled=True,
                        poller_mode=mode)  # fmt: skip
    network = NETWORK._replace(private=frozenset(private))
    lines = {each.what: each for each in mappings(Check(OneMapping(**item), expected, network))}
    assert lines["mapping order_placed to shop-payment_processor"].wanted == wanted


def test_what_the_last_plan_said_of_the_pollers_is_expected(tmp_path):
    for said, mode in (({}, "on_demand"), ({"poller_mode": "provisioned"}, "provisioned")):
        assert Expected.of(OURS, TOPOLOGY, {}, said, tmp_path).poller_mode == mode


def test_an_account_without_the_deployment_is_told_line_by_line(aws, tmp_path):
    from dataclasses import replace

    from tests.aws_world import HOSTS

    expected = Expected(OURS, TOPOLOGY, "public", "203.0.113.7/32", HOSTS, "a:9094")
    lines = confirm(aws, expected)
    assert not any(line.ok for line in lines if not line.what.endswith("private subnets"))
    assert {f"instance {host.name}" for host in HOSTS} <= {line.what for line in lines}
    # Without Terraform's outputs nobody knows the hosts; that there should be some is known all the same.
    without = {line.what for line in confirm(aws, replace(expected, hosts=()))}
    assert {"zookeeper instances", "kafka instances"} <= without


def test_a_files_hash_is_the_one_that_lambda_gives(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert sha256(tmp_path / "a") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
