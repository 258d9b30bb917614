"""Functions and mappings have AWS's limits, whether they are made here or read from AWS's API."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas.model import (
    DEFAULT_WINDOW,
    Faults,
    FunctionConfig,
    MappingConfig,
    Provisioned,
    check_together,
)

ZIP = Path("f.zip")


def function(**changes):
    return FunctionConfig(**{"name": "f", "code": ZIP, "handler": "app.handler", **changes})


def mapping(**changes):
    fields = {"uuid": "u", "function": "f", "topic": "t", "bootstrap_servers": ("b:9094",), **changes}
    return MappingConfig(**fields)


# What boto3's get_function_configuration and list_event_source_mappings return, with everything that is not looked at.
FUNCTION_ANSWER = {
    "FunctionName": "shop-pay",
    "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:shop-pay",
    "Runtime": "python3.13",
    "Role": "arn:aws:iam::123456789012:role/shop",
    "Handler": "services.pay.pay.handler",
    "CodeSize": 5_000_000,
    "Timeout": 60,
    "MemorySize": 256,
    "CodeSha256": "x=",
    "Version": "$LATEST",
    "Environment": {"Variables": {"KAFKA_BOOTSTRAP_SERVERS": "a:9094"}},
    "State": "Active",
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
}
MAPPING_ANSWER = {
    "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
    "StartingPosition": "TRIM_HORIZON",
    "BatchSize": 100,
    "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:shop-pay",
    "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
    "LastProcessingResult": "No records processed",
    "State": "Enabled",
    "StateTransitionReason": "USER_INITIATED",
    "Topics": ["orders"],
    "SourceAccessConfigurations": [
        {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
        {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
        {"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pay"},
        {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ca"},
    ],
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9094", "b:9094,c:9094"]}},
    "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "pay.orders"},
    "FunctionResponseTypes": [],
    "DestinationConfig": {"OnFailure": {}},
}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("timeout", (1, 900), (0, 901)),
        ("memory_size", (128, 10_240), (127, 10_241)),
        ("name", ("a-B_9", "x" * 64), ("", "a b", "x" * 65)),
        ("handler", ("a.b", "a/b.c"), ("handler", "a b.c")),
        ("reserved_concurrency", (0, None, 5), (-1,)),
        (
            "environment",
            ({"HOME": "x", "AWS_ENDPOINT_URL": "y"},),
            ({"AWS_REGION": "x"}, {"AWS_ACCESS_KEY_ID": "x"}, {"A": "x" * 4096}),
        ),
    ],
)
def test_a_function_has_lambdas_limits(field, good, bad):
    for value in good:
        assert getattr(function(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(UsageError):
            function(**{field: value})


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("batch_size", (1, 10_000), (0, 10_001)),
        ("window", (0, 0.5, 300), (-1, 301)),
        ("starting_position", ("TRIM_HORIZON", "LATEST"), ("EARLIEST", "AT_TIMESTAMP")),
        ("bootstrap_servers", (("h:1", "i:2"),), ((), ("h",), ("h:x",))),
        ("topic", ("t",), ("",)),
        ("on_failure", (None, "arn:aws:sqs:us-east-1:1:q", "arn:aws:s3:::b"), ("kafka://t", "arn:aws:lambda:x:1:f")),
    ],
)
def test_a_mapping_has_lambdas_limits(field, good, bad):
    for value in good:
        assert getattr(mapping(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(UsageError):
            mapping(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "bad"),
    [
        ("report_batch_item_failures", True, ()),
        ("maximum_retry_attempts", 3, (10_001, -2)),
        ("maximum_record_age", 60, (59, 604_801)),
        ("bisect_batch_on_function_error", True, ()),
    ],
)
def test_error_handling_needs_provisioned_mode(field, value, bad):
    assert getattr(mapping(**{field: value}, provisioned=Provisioned(1, 1)), field) == value
    with pytest.raises(UsageError, match=f"{field}.*provisioned mode"):
        mapping(**{field: value})
    for other in bad:
        with pytest.raises(UsageError, match=field):
            mapping(**{field: other}, provisioned=Provisioned(1, 1))


def test_a_password_needs_tls():
    assert mapping(tls=False).tls is False
    with pytest.raises(UsageError, match="TLS"):
        mapping(tls=False, auth_secret="s")


@pytest.mark.parametrize(
    ("changes", "retries"),
    [
        ({}, None),
        ({"provisioned": Provisioned()}, None),
        ({"provisioned": Provisioned(), "maximum_retry_attempts": 0}, 0),
        ({"provisioned": Provisioned(), "on_failure": "arn:aws:sqs:us-east-1:1:q"}, 10),
        ({"on_failure": "arn:aws:sqs:us-east-1:1:q"}, None),
    ],
)
def test_how_often_a_batch_is_retried(changes, retries):
    assert mapping(**changes).most_retries == retries


@pytest.mark.parametrize(("least", "most"), [(0, 1), (201, 300), (2, 1), (1, 2001)])
def test_provisioned_mode_has_lambdas_limits(least, most):
    with pytest.raises(UsageError):
        Provisioned(least, most)


def test_a_function_from_the_api():
    made = FunctionConfig.from_api(FUNCTION_ANSWER, ZIP, reserved_concurrency=2)
    assert made == FunctionConfig(
        "shop-pay",
        ZIP,
        "services.pay.pay.handler",
        60,
        256,
        {"KAFKA_BOOTSTRAP_SERVERS": "a:9094"},
        "arn:aws:lambda:eu-west-1:123456789012:function:shop-pay",
        "$LATEST",
        2,
    )
    assert made.region == "eu-west-1"
    assert FunctionConfig.from_api({"FunctionName": "f", "Handler": "a.b"}, ZIP) == function(handler="a.b")


@pytest.mark.parametrize(
    "odd", [{"Runtime": "nodejs22.x"}, {"PackageType": "Image", "Runtime": None}, {"Timeout": 901}]
)
def test_a_function_that_cannot_run_here_is_refused(odd):
    with pytest.raises(UsageError):
        FunctionConfig.from_api({**FUNCTION_ANSWER, **odd}, ZIP)


def test_a_mapping_from_the_api():
    assert MappingConfig.from_api(MAPPING_ANSWER) == MappingConfig(
        uuid="14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        function="shop-pay",
        topic="orders",
        group="pay.orders",
        bootstrap_servers=("a:9094", "b:9094", "c:9094"),
        batch_size=100,
        window=DEFAULT_WINDOW,
        auth_secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:pay",
        ca_secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:ca",
    )


def test_a_provisioned_mapping_from_the_api():
    made = MappingConfig.from_api(
        {
            **MAPPING_ANSWER,
            "State": "Disabled",
            "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
            "MaximumBatchingWindowInSeconds": 0,
            "ProvisionedPollerConfig": {"MinimumPollers": 2, "MaximumPollers": 3},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MaximumRetryAttempts": 5,
            "MaximumRecordAgeInSeconds": 3600,
            "BisectBatchOnFunctionError": True,
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
            "SelfManagedKafkaEventSourceConfig": {},
        }
    )
    assert (made.enabled, made.window, made.provisioned) == (False, 0, Provisioned(2, 3))
    assert (made.starting_timestamp, made.group) == (1_767_225_600_000, made.uuid)
    assert (made.report_batch_item_failures, made.bisect_batch_on_function_error) == (True, True)
    assert (made.maximum_retry_attempts, made.maximum_record_age) == (5, 3600)
    assert made.on_failure == "arn:aws:s3:::failed"


@pytest.mark.parametrize(
    "odd",
    [
        {"SelfManagedEventSource": None},
        {"Topics": ["a", "b"]},
        {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}},
        {"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {"SchemaRegistryURI": "https://registry"}}},
        {"SourceAccessConfigurations": [{"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": "x"}]},
        {"MaximumRetryAttempts": 5},
    ],
)
def test_a_mapping_that_cannot_be_rehearsed_is_refused(odd):
    with pytest.raises(UsageError):
        MappingConfig.from_api({**MAPPING_ANSWER, **odd})


def test_what_only_all_together_can_tell():
    check_together([function()], [mapping(), mapping(uuid="v", topic="t2")])
    for functions, mappings, match in (
        ([function(), function()], [], "same name"),
        ([function()], [mapping(function="g")], "no such function"),
        ([function(timeout=841)], [mapping()], "14 minutes"),
        ([function()], [mapping(group="g"), mapping(uuid="v", group="g")], "group"),
        ([function()], [mapping(group="g"), mapping(group="h")], "uuid"),
    ):
        with pytest.raises(UsageError, match=match):
            check_together(functions, mappings)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_faults_are_shares(share):
    with pytest.raises(UsageError):
        Faults(fail=share)
