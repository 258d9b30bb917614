"""What else of an account the stand-in must get right: bucket policies, budgets, secrets, logs, schedules, tables."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from shopstream.rehearsal.aws import ACCOUNT_ID, AwsStandIn

pytestmark = pytest.mark.infra

NOTIFICATION = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
MAIL = {"SubscriptionType": "EMAIL", "Address": "a@example.com"}
BUDGET = {
    "BudgetName": "shop",
    "BudgetType": "COST",
    "TimeUnit": "MONTHLY",
    "BudgetLimit": {"Amount": "50", "Unit": "USD"},
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with AwsStandIn(tmp_path_factory.mktemp("aws") / "moto.log") as stand_in:
        yield stand_in
        assert stand_in.unsupported_calls() == []


def refusal(call, **arguments):
    with pytest.raises(Exception) as refused:  # noqa: PT011 - its code is looked at
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def put_policy(s3, condition, effect="Deny"):
    statement = {
        "Effect": effect,
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [{**statement, **({"Condition": condition} if condition else {})}]}
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps(policy))
    return policy


@pytest.fixture
def bucket(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"x")
    yield s3
    s3.delete_bucket_policy(Bucket="bucket")
    s3.delete_object(Bucket="bucket", Key="k")
    s3.delete_bucket(Bucket="bucket")


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"Bool": {"aws:SecureTransport": False}},
        {"Bool": {"AWS:SECURETRANSPORT": ["false"]}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
        {"NumericLessThanIfExists": {"s3:TlsVersion": 1.2}},
    ],
)
def test_a_bucket_for_tls_only_keeps_its_policy_and_serves_who_would_have_come_by_tls(bucket, condition):
    policy = put_policy(bucket, condition)
    assert bucket.get_object(Bucket="bucket", Key="k")["Body"].read() == b"x"
    assert json.loads(bucket.get_bucket_policy(Bucket="bucket")["Policy"]) == policy


@pytest.mark.parametrize(
    "condition",
    [
        None,
        {"Bool": {"aws:SecureTransport": "true"}},
        {"NumericGreaterThan": {"s3:TlsVersion": "1.0"}},
        {"Bool": {"aws:SecureTransport": "true"}, "NumericGreaterThanEquals": {"s3:TlsVersion": "1.3"}},
    ],
)
def test_a_deny_that_applies_denies(bucket, condition):
    put_policy(bucket, condition)
    assert refusal(bucket.get_object, Bucket="bucket", Key="k") in {"AccessDenied", "403"}  # moto gives no code


@pytest.fixture
def budgets(aws):
    client = aws.client("budgets")
    client.create_budget(
        AccountId=ACCOUNT_ID,
        Budget=BUDGET,
        NotificationsWithSubscribers=[{"Notification": NOTIFICATION, "Subscribers": [MAIL]}],
        ResourceTags=[{"Key": "Project", "Value": "shopstream"}],
    )
    yield client
    client.delete_budget(AccountId=ACCOUNT_ID, BudgetName="shop")


NAMED = {"AccountId": ACCOUNT_ID, "BudgetName": "shop"}


def test_a_budget_shows_whom_it_notifies(budgets):
    assert budgets.describe_notifications_for_budget(**NAMED)["Notifications"] == [NOTIFICATION]
    asked = {**NOTIFICATION, "ThresholdType": "PERCENTAGE"}  # the default
    found = budgets.describe_subscribers_for_notification(**NAMED, Notification=asked)["Subscribers"]
    assert found == [MAIL]


def test_a_budgets_notifications_and_subscribers_change(budgets):
    second = {**NOTIFICATION, "Threshold": 100.0}
    budgets.create_notification(**NAMED, Notification=second, Subscribers=[MAIL])
    assert refusal(budgets.create_notification, **NAMED, Notification=second, Subscribers=[MAIL]) == (
        "DuplicateRecordException"
    )
    topic = {"SubscriptionType": "SNS", "Address": f"arn:aws:sns:us-east-1:{ACCOUNT_ID}:alarms"}
    budgets.create_subscriber(**NAMED, Notification=second, Subscriber=topic)
    budgets.delete_subscriber(**NAMED, Notification=second, Subscriber=MAIL)
    found = budgets.describe_subscribers_for_notification(**NAMED, Notification=second)["Subscribers"]
    assert found == [topic]
    budgets.delete_notification(**NAMED, Notification=second)
    assert refusal(budgets.describe_subscribers_for_notification, **NAMED, Notification=second) == "NotFoundException"
    assert budgets.describe_notifications_for_budget(**NAMED)["Notifications"] == [NOTIFICATION]


def test_a_budget_is_updated_and_keeps_its_notifications(budgets):
    before = budgets.describe_budget(**NAMED)["Budget"]
    budgets.update_budget(AccountId=ACCOUNT_ID, NewBudget={**BUDGET, "BudgetLimit": {"Amount": "70", "Unit": "USD"}})
    after = budgets.describe_budget(**NAMED)["Budget"]
    assert after["BudgetLimit"] == {"Amount": "70", "Unit": "USD"}
    assert after["TimePeriod"] == before["TimePeriod"]
    assert budgets.describe_notifications_for_budget(**NAMED)["Notifications"] == [NOTIFICATION]


def test_a_budgets_tags(budgets):
    arn = f"arn:aws:budgets::{ACCOUNT_ID}:budget/shop"
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "Deployment", "Value": "shop"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["Project"])
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "Deployment", "Value": "shop"}]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("describe_budget", {}),
        ("describe_notifications_for_budget", {}),
        ("describe_subscribers_for_notification", {"Notification": NOTIFICATION}),
        ("delete_notification", {"Notification": NOTIFICATION}),
    ],
)
def test_a_budget_that_does_not_exist_is_not_found(aws, call, arguments):
    client = aws.client("budgets")
    asked = {"AccountId": ACCOUNT_ID, "BudgetName": "none", **arguments}
    assert refusal(getattr(client, call), **asked) == "NotFoundException"


def test_a_secret_has_versions_and_goes_at_once(aws):
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name="shopstream/kafka/a", SecretString="one")
    secrets.put_secret_value(SecretId="shopstream/kafka/a", SecretString="two")
    assert secrets.get_secret_value(SecretId="shopstream/kafka/a")["SecretString"] == "two"
    old = secrets.get_secret_value(SecretId="shopstream/kafka/a", VersionStage="AWSPREVIOUS")
    assert old["SecretString"] == "one"
    secrets.delete_secret(SecretId="shopstream/kafka/a", ForceDeleteWithoutRecovery=True)
    assert refusal(secrets.get_secret_value, SecretId="shopstream/kafka/a") == "ResourceNotFoundException"


def test_a_secret_scheduled_for_deletion_is_refused_in_the_words_that_clients_know(aws):
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name="leaving", SecretString="1")
    secrets.delete_secret(SecretId="leaving", RecoveryWindowInDays=7)
    with pytest.raises(secrets.exceptions.InvalidRequestException, match="because it was marked for deletion"):
        secrets.get_secret_value(SecretId="leaving")
    secrets.restore_secret(SecretId="leaving")
    assert secrets.get_secret_value(SecretId="leaving")["SecretString"] == "1"
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId="never there")


def test_logs_are_read_back(aws):
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/aws/lambda/f")
    logs.create_log_stream(logGroupName="/aws/lambda/f", logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName="/aws/lambda/f", logStreamName="s", logEvents=[{"timestamp": now, "message": "hello"}]
    )
    found = logs.filter_log_events(logGroupName="/aws/lambda/f")["events"]
    assert [each["message"] for each in found] == ["hello"]


def test_a_rule_with_its_target_is_read_back(aws):
    events = aws.client("events")
    events.put_rule(Name="r", ScheduleExpression="rate(1 minute)", State="DISABLED")
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT_ID}:function:f"
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn, "Input": '{"orders": 3}'}])
    assert events.describe_rule(Name="r")["State"] == "DISABLED"
    assert events.list_targets_by_rule(Rule="r")["Targets"] == [{"Id": "1", "Arn": arn, "Input": '{"orders": 3}'}]


@pytest.fixture(scope="module")
def tables(aws):
    client = aws.client("dynamodb")
    client.create_table(
        TableName="state",
        KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def test_of_many_conditional_writes_at_once_one_succeeds(tables):
    def write(writer):
        won = 0
        for number in range(30):
            try:
                tables.update_item(
                    TableName="state",
                    Key={"order_id": {"S": f"race-{number}"}},
                    UpdateExpression="SET writer = :w ADD writes :one",
                    ConditionExpression="attribute_not_exists(writer)",
                    ExpressionAttributeValues={":w": {"N": str(writer)}, ":one": {"N": "1"}},
                )
                won += 1
            except tables.exceptions.ConditionalCheckFailedException:
                continue
        return won

    with ThreadPoolExecutor(8) as writers:
        assert sum(writers.map(write, range(8))) == 30


def test_of_many_updates_at_once_none_is_lost(tables):
    def add(_):
        tables.update_item(
            TableName="state",
            Key={"order_id": {"S": "sum"}},
            UpdateExpression="ADD writes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(add, range(200)))
    assert tables.get_item(TableName="state", Key={"order_id": {"S": "sum"}})["Item"]["writes"] == {"N": "200"}


def test_a_conditional_update_happens_once(tables):
    update = {
        "TableName": "state",
        "Key": {"order_id": {"S": "o-1"}},
        "UpdateExpression": "SET #p = :p, expires_at = if_not_exists(expires_at, :e)",
        "ConditionExpression": "attribute_not_exists(#p)",
        "ExpressionAttributeNames": {"#p": "payment"},
        "ReturnValues": "ALL_NEW",
    }
    first = tables.update_item(**update, ExpressionAttributeValues={":p": {"S": "approved"}, ":e": {"N": "9"}})
    assert first["Attributes"] == {"order_id": {"S": "o-1"}, "payment": {"S": "approved"}, "expires_at": {"N": "9"}}
    second = {":p": {"S": "declined"}, ":e": {"N": "10"}}
    assert refusal(tables.update_item, **update, ExpressionAttributeValues=second) == "ConditionalCheckFailedException"
    # The same expressions with other names and values, and on an item that has the attribute already.
    other = {**update, "ExpressionAttributeNames": {"#p": "stock"}}
    third = tables.update_item(**other, ExpressionAttributeValues={":p": {"S": "reserved"}, ":e": {"N": "11"}})
    assert third["Attributes"] == {**first["Attributes"], "stock": {"S": "reserved"}}
    assert tables.get_item(TableName="state", Key={"order_id": {"S": "o-1"}})["Item"] == third["Attributes"]


@pytest.mark.parametrize(
    ("expression", "values", "code"),
    [
        ("SET a = :v, a = :v", {":v": {"N": "1"}}, "ValidationException"),
        ("SET order_id = :v", {":v": {"S": "x"}}, "ValidationException"),
        ("SET a = :v SET b = :v", {":v": {"N": "1"}}, "ValidationException"),
        ("SET a = missing", None, "ValidationException"),
        ("SET a = :v", {":v": {"N": "1"}, ":unused": {"N": "1"}}, "ValidationException"),
        ("PUT a", None, "ValidationException"),
    ],
)
def test_a_wrong_update_is_refused_each_time(tables, expression, values, code):
    """Twice, because the second time the expression has been parsed before."""
    more = {"ExpressionAttributeValues": values} if values else {}
    for _ in range(2):
        key = {"order_id": {"S": "wrong"}}
        assert refusal(tables.update_item, TableName="state", Key=key, UpdateExpression=expression, **more) == code


def test_the_kinds_of_updates(tables):
    key = {"order_id": {"S": "kinds"}}
    for number in range(1, 3):  # the second time with an item that is there
        after = tables.update_item(
            TableName="state",
            Key=key,
            UpdateExpression="SET n = if_not_exists(n, :zero) + :one, l = list_append(if_not_exists(l, :none), :l), "
            "m.#x = :zero REMOVE gone ADD s :s"
            if number > 1
            else "SET n = :one, l = :l, m = :m ADD s :s",
            ExpressionAttributeValues={
                ":one": {"N": "1"},
                ":l": {"L": [{"S": str(number)}]},
                ":s": {"SS": [str(number)]},
                **({":zero": {"N": "0"}, ":none": {"L": []}} if number > 1 else {":m": {"M": {}}}),
            },
            **({"ExpressionAttributeNames": {"#x": "x"}} if number > 1 else {}),
            ReturnValues="ALL_NEW",
        )["Attributes"]
    assert after["n"] == {"N": "2"}
    assert after["l"] == {"L": [{"S": "1"}, {"S": "2"}]}
    assert sorted(after["s"]["SS"]) == ["1", "2"]
    assert after["m"] == {"M": {"x": {"N": "0"}}}
