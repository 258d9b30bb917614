"""The stand-in's Lambda treats mappings of a Kafka as AWS does, and its functions keep what they were told."""

import base64
import hashlib
import json
import urllib.request
import uuid

import pytest

from shopstream.rehearsal.aws import AwsStandIn
from tests.aws_world import zipped
from tests.waiting import until

pytestmark = pytest.mark.infra

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shopstream/kafka/user-abcdef"
CA = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shopstream/kafka-ca-abcdef"
GROUP = "payment_processor.order_placed"


def fetch(address):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=20) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with AwsStandIn(tmp_path_factory.mktemp("aws") / "moto.log") as stand_in:
        yield stand_in
        assert stand_in.unsupported_calls() == []


@pytest.fixture(scope="module")
def awslambda(aws):
    return aws.client("lambda")


@pytest.fixture(scope="module")
def role(aws):
    return aws.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]


@pytest.fixture
def make_function(awslambda, role):
    made = []

    def make(**changes):
        name = f"function-{uuid.uuid4()}"
        settings = {
            "FunctionName": name,
            "Role": role,
            "Runtime": "python3.13",
            "Handler": "code.handler",
            "Code": {"ZipFile": zipped("x = 1")},
        }
        made.append(name)
        return awslambda.create_function(**{**settings, **changes})

    yield make
    for name in made:
        try:
            awslambda.delete_function(FunctionName=name)
        except awslambda.exceptions.ResourceNotFoundException:
            continue


@pytest.fixture
def function(make_function):
    return make_function()


@pytest.fixture
def make_mapping(awslambda, function):
    made = []

    def make(**changes):
        settings = {
            "FunctionName": function["FunctionName"],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b:9094", "a:9094"]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": GROUP},
            "Topics": ["order_placed"],
            "StartingPosition": "TRIM_HORIZON",
            "Enabled": False,
            "SourceAccessConfigurations": [
                {"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET},
                {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": CA},
                {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0123456789abcdef0"},
                {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-0123456789abcdef0"},
            ],
        }
        wanted = {key: value for key, value in {**settings, **changes}.items() if value is not None}
        answer = awslambda.create_event_source_mapping(**wanted)
        made.append(answer["UUID"])
        return answer

    yield make
    for each in made:
        bury(awslambda, each)


def state(awslambda, identifier):
    return awslambda.get_event_source_mapping(UUID=identifier)["State"]


def settled(awslambda, identifier, wanted):
    until(lambda: state(awslambda, identifier) == wanted, f"the mapping is {wanted}")


def gone(awslambda, identifier):
    try:
        state(awslambda, identifier)
    except awslambda.exceptions.ResourceNotFoundException:
        return True
    return False


def bury(awslambda, identifier):
    """Delete a mapping, as soon as it may be."""

    def deleted():
        try:
            awslambda.delete_event_source_mapping(UUID=identifier)
        except awslambda.exceptions.ResourceInUseException:
            pass
        except awslambda.exceptions.ResourceNotFoundException:
            return True
        return False

    until(deleted, "the mapping is deleted")


def refusal(call, **arguments):
    with pytest.raises(Exception) as refused:  # noqa: PT011 - its code is looked at
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def test_a_mapping_is_made_and_shown_as_it_was_asked_for(awslambda, make_mapping, function):
    made = make_mapping(MaximumBatchingWindowInSeconds=1, Tags={"Project": "shopstream"})
    assert made["State"] == "Creating"
    settled(awslambda, made["UUID"], "Disabled")
    shown = awslambda.get_event_source_mapping(UUID=made["UUID"])
    assert shown["BatchSize"] == 100
    assert shown["MaximumBatchingWindowInSeconds"] == 1
    assert shown["FunctionArn"] == function["FunctionArn"]
    assert shown["SelfManagedEventSource"] == {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9094", "b:9094"]}}
    assert shown["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == GROUP
    assert shown["Topics"] == ["order_placed"]
    assert {each["Type"] for each in shown["SourceAccessConfigurations"]} == {
        "SASL_SCRAM_512_AUTH",
        "SERVER_ROOT_CA_CERTIFICATE",
        "VPC_SUBNET",
        "VPC_SECURITY_GROUP",
    }
    assert "EventSourceArn" not in shown
    assert awslambda.list_tags(Resource=shown["EventSourceMappingArn"])["Tags"] == {"Project": "shopstream"}


def test_a_group_that_is_not_named_is_a_uuid(make_mapping):
    made = make_mapping(SelfManagedKafkaEventSourceConfig=None)
    uuid.UUID(made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"])


def test_mappings_are_listed_by_function(awslambda, make_mapping, make_function, function):
    first = make_mapping()["UUID"]
    other = make_function()
    second = make_mapping(
        FunctionName=other["FunctionArn"], SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "other"}
    )["UUID"]

    def listed(**by):
        return {each["UUID"] for each in awslambda.list_event_source_mappings(**by)["EventSourceMappings"]}

    assert listed() == {first, second}
    assert listed(FunctionName=function["FunctionName"]) == {first}
    assert listed(FunctionName=other["FunctionArn"]) == {second}
    assert listed(EventSourceArn="arn:aws:sqs:us-east-1:123456789012:none") == set()


def test_a_mapping_is_enabled_changed_and_deleted(awslambda, make_mapping):
    identifier = make_mapping()["UUID"]
    settled(awslambda, identifier, "Disabled")
    assert awslambda.update_event_source_mapping(UUID=identifier, Enabled=True)["State"] == "Enabling"
    settled(awslambda, identifier, "Enabled")
    assert awslambda.update_event_source_mapping(UUID=identifier, BatchSize=7)["State"] == "Updating"
    settled(awslambda, identifier, "Enabled")
    assert awslambda.get_event_source_mapping(UUID=identifier)["BatchSize"] == 7
    assert awslambda.update_event_source_mapping(UUID=identifier, Enabled=False)["State"] == "Disabling"
    settled(awslambda, identifier, "Disabled")
    assert awslambda.delete_event_source_mapping(UUID=identifier)["State"] == "Deleting"
    until(lambda: gone(awslambda, identifier), "the mapping is gone")
    for call in ("delete_event_source_mapping", "update_event_source_mapping"):
        assert refusal(getattr(awslambda, call), UUID=identifier) == "ResourceNotFoundException"


def test_a_mapping_in_transition_refuses_changes(awslambda, make_mapping):
    # Asked at once: well within the transition on any machine that is not standing still.
    identifier = make_mapping()["UUID"]
    codes = {refusal_or_none(awslambda.update_event_source_mapping, UUID=identifier, BatchSize=size) for size in (2, 3)}
    assert "ResourceInUseException" in codes


def refusal_or_none(call, **arguments):
    try:
        call(**arguments)
    except Exception as error:  # noqa: BLE001 - its code is looked at
        return error.response["Error"]["Code"]
    return None


def test_provisioned_mode_has_its_error_controls(awslambda, make_mapping):
    identifier = make_mapping(
        ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 3},
        MaximumRetryAttempts=5,
        MaximumRecordAgeInSeconds=3600,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dlq"}},
        FilterCriteria={"Filters": [{"Pattern": '{"value": {"order_id": [{"exists": true}]}}'}]},
    )["UUID"]
    settled(awslambda, identifier, "Disabled")
    shown = awslambda.get_event_source_mapping(UUID=identifier)
    assert shown["ProvisionedPollerConfig"] == {"MinimumPollers": 1, "MaximumPollers": 3}
    assert (shown["MaximumRetryAttempts"], shown["MaximumRecordAgeInSeconds"]) == (5, 3600)
    assert shown["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert shown["DestinationConfig"]["OnFailure"]["Destination"].endswith(":dlq")
    awslambda.update_event_source_mapping(UUID=identifier, FilterCriteria={})
    assert "FilterCriteria" not in awslambda.get_event_source_mapping(UUID=identifier)


ACCESS = {"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}
SUBNET = {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0123456789abcdef0"}
FIREWALL = {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-0123456789abcdef0"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Topics": ["one", "two"]}, "ValidationException"),
        ({"Topics": ["a topic"]}, "ValidationException"),
        ({"Topics": None}, "InvalidParameterValueException"),
        ({"BatchSize": 10001}, "ValidationException"),
        ({"MaximumBatchingWindowInSeconds": 301}, "ValidationException"),
        ({"StartingPosition": None}, "InvalidParameterValueException"),
        ({"StartingPosition": "EARLIEST"}, "ValidationException"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "InvalidParameterValueException"),
        (
            {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["SASL_SSL://a:9094"]}}},
            "ValidationException",
        ),
        ({"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a"]}}}, "ValidationException"),
        ({"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"] * 11}}}, "ValidationException"),
        ({"SelfManagedEventSource": {"Endpoints": {"ZOOKEEPER": ["a:2181"]}}}, "ValidationException"),
        ({"SelfManagedEventSource": {}}, "InvalidParameterValueException"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q"}, "InvalidParameterValueException"),
        ({"ParallelizationFactor": 2}, "InvalidParameterValueException"),
        ({"SourceAccessConfigurations": []}, "InvalidParameterValueException"),
        ({"SourceAccessConfigurations": [ACCESS, SUBNET]}, "InvalidParameterValueException"),
        ({"SourceAccessConfigurations": [ACCESS, FIREWALL]}, "InvalidParameterValueException"),
        (
            {"SourceAccessConfigurations": [ACCESS, {"Type": "BASIC_AUTH", "URI": SECRET}]},
            "InvalidParameterValueException",
        ),
        ({"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "x"}]}, "InvalidParameterValueException"),
        ({"SourceAccessConfigurations": [{"Type": "PLAIN", "URI": "x"}]}, "ValidationException"),
        ({"SourceAccessConfigurations": [{**ACCESS, "URI": "a-name"}]}, "InvalidParameterValueException"),
        (
            {"SourceAccessConfigurations": [ACCESS, FIREWALL, {**SUBNET, "URI": "subnet-0123456789abcdef0"}]},
            "InvalidParameterValueException",
        ),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException"),
        ({"MaximumRetryAttempts": 3}, "InvalidParameterValueException"),
        ({"FunctionResponseTypes": ["ReportBatchItemFailures"]}, "InvalidParameterValueException"),
        (
            {"ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 2}},
            "InvalidParameterValueException",
        ),
        (
            {"ProvisionedPollerConfig": {"MinimumPollers": 1}, "MaximumRecordAgeInSeconds": 30},
            "InvalidParameterValueException",
        ),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 201}}, "ValidationException"),
    ],
    ids=str,
)
def test_a_mapping_that_aws_refuses_is_refused(make_mapping, change, code):
    assert refusal(make_mapping, **change) == code


@pytest.mark.parametrize("accesses", [[ACCESS], [SUBNET, FIREWALL]], ids=["credentials", "vpc"])
def test_credentials_or_a_vpc_suffice(make_mapping, accesses):
    assert make_mapping(SourceAccessConfigurations=accesses)["SourceAccessConfigurations"] == accesses


def test_a_group_belongs_to_one_mapping_and_a_source_to_one_mapping_of_a_function(make_mapping):
    make_mapping()
    assert refusal(make_mapping, Topics=["order_cancelled"]) == "InvalidParameterValueException"
    other_group = {"ConsumerGroupId": "other"}
    assert refusal(make_mapping, SelfManagedKafkaEventSourceConfig=other_group) == "ResourceConflictException"
    make_mapping(Topics=["order_cancelled"], SelfManagedKafkaEventSourceConfig=other_group)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"BatchSize": 20000}, "ValidationException"),
        ({"MaximumRetryAttempts": 3}, "InvalidParameterValueException"),
        ({"SourceAccessConfigurations": [ACCESS, SUBNET]}, "InvalidParameterValueException"),
        ({"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "new"}}, "InvalidParameterValueException"),
    ],
    ids=str,
)
def test_a_change_that_aws_refuses_is_refused(awslambda, make_mapping, change, code):
    identifier = make_mapping()["UUID"]
    settled(awslambda, identifier, "Disabled")
    assert refusal(awslambda.update_event_source_mapping, UUID=identifier, **change) == code


def test_mappings_of_other_sources_are_motos_own(aws, awslambda, function):
    queue = aws.client("sqs").create_queue(QueueName="queue")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:queue"
    made = awslambda.create_event_source_mapping(FunctionName=function["FunctionName"], EventSourceArn=arn)
    assert made["BatchSize"] == 10
    listed = awslambda.list_event_source_mappings(FunctionName=function["FunctionName"])["EventSourceMappings"]
    assert [each["UUID"] for each in listed] == [made["UUID"]]
    awslambda.update_event_source_mapping(UUID=made["UUID"], BatchSize=3)
    assert awslambda.delete_event_source_mapping(UUID=made["UUID"])["BatchSize"] == 3
    assert gone(awslambda, made["UUID"])
    aws.client("sqs").delete_queue(QueueUrl=queue)


def test_a_function_keeps_what_it_was_told(awslambda, make_function):
    made = make_function(
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:123456789012:dlq"},
        LoggingConfig={"LogFormat": "JSON", "LogGroup": "/aws/lambda/mine"},
        TracingConfig={"Mode": "Active"},
    )
    shown = awslambda.get_function_configuration(FunctionName=made["FunctionName"])
    assert shown["DeadLetterConfig"]["TargetArn"].endswith(":dlq")
    assert shown["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "/aws/lambda/mine",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
    }
    awslambda.update_function_configuration(
        FunctionName=made["FunctionName"],
        DeadLetterConfig={"TargetArn": ""},
        LoggingConfig={"LogFormat": "Text"},
        TracingConfig={"Mode": "PassThrough"},
        EphemeralStorage={"Size": 1024},
        Timeout=60,
    )
    shown = awslambda.get_function_configuration(FunctionName=made["FunctionName"])
    assert "DeadLetterConfig" not in shown
    assert shown["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{made['FunctionName']}"}
    assert (shown["TracingConfig"]["Mode"], shown["EphemeralStorage"]["Size"], shown["Timeout"]) == (
        "PassThrough",
        1024,
        60,
    )


@pytest.mark.parametrize("reserved", [0, 1])
def test_reserved_concurrency_is_shown(awslambda, function, reserved):
    name = function["FunctionName"]
    awslambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    assert awslambda.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": reserved}
    awslambda.delete_function_concurrency(FunctionName=name)
    assert "Concurrency" not in awslambda.get_function(FunctionName=name)


def test_a_functions_vpc_is_that_of_its_subnets(aws, make_function):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    made = make_function(VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group]})
    assert made["VpcConfig"]["VpcId"] == vpc
    for wrong in (
        {"SubnetIds": ["subnet-00000000"], "SecurityGroupIds": [group]},
        {"SubnetIds": [subnet], "SecurityGroupIds": ["sg-00000000"]},
        {"SubnetIds": [subnet], "SecurityGroupIds": []},
    ):
        assert refusal(make_function, VpcConfig=wrong) == "InvalidParameterValueException"


def test_code_comes_from_the_object_version_that_was_named_and_can_be_fetched(aws, awslambda, make_function):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="artifacts")
    s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
    old, new = zipped("x = 1"), zipped("x = 2")
    where = {"S3Bucket": "artifacts", "S3Key": "lambdas/f.zip"}
    versions = [s3.put_object(Bucket="artifacts", Key="lambdas/f.zip", Body=body)["VersionId"] for body in (old, new)]

    def holds(name, body):
        shown = awslambda.get_function(FunctionName=name)
        assert shown["Configuration"]["CodeSha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert shown["Configuration"]["CodeSize"] == len(body)
        assert fetch(shown["Code"]["Location"]) == body

    name = make_function(Code={**where, "S3ObjectVersion": versions[0]})["FunctionName"]
    holds(name, old)
    awslambda.update_function_code(FunctionName=name, **where, S3ObjectVersion=versions[1])
    holds(name, new)
    awslambda.update_function_code(FunctionName=name, **where, S3ObjectVersion=versions[0])
    holds(name, old)
    awslambda.update_function_code(FunctionName=name, **where)
    holds(name, new)
    for wrong in ({**where, "S3ObjectVersion": "none"}, {**where, "S3Key": "none"}, {**where, "S3Bucket": "none"}):
        assert refusal(make_function, Code=wrong) == "InvalidParameterValueException"
        assert refusal(awslambda.update_function_code, FunctionName=name, **wrong) == "InvalidParameterValueException"
    holds(name, new)


def test_code_that_was_sent_along_can_be_fetched(awslambda, function):
    location = awslambda.get_function(FunctionName=function["FunctionName"])["Code"]["Location"]
    assert fetch(location) == zipped("x = 1")
