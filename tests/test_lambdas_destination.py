"""A failure destination is told what AWS tells it."""

import json
import sys
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from shopstream.errors import UsageError
from shopstream.lambdas.delivery import Discarded
from shopstream.lambdas.destination import AwsDestinations
from shopstream.lambdas.model import FunctionConfig, MappingConfig, Provisioned
from shopstream.lambdas.payload import Partition, Record
from shopstream.lambdas.results import Invocation

NOW = datetime(2026, 11, 24, 12, 30, 5, 21_000, tzinfo=UTC)
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failed"
TOPIC = "arn:aws:sns:us-east-1:123456789012:failed"
BUCKET = "arn:aws:s3:::failed"


class Clients:
    """boto3's clients, as far as they are called."""

    def __init__(self, error=None):
        self.calls, self.error = [], error

    def __call__(self, service):
        self.service = service
        return self

    def __getattr__(self, name):
        def call(**arguments):
            if self.error:
                raise self.error
            self.calls.append((f"{self.service}.{name}", arguments))
            return {"QueueUrl": "http://queue"}

        return call


def discarded(last=Invocation("request-1", b"{}", "Unhandled")):  # noqa: B008 - it is frozen
    at = int(NOW.timestamp() * 1000)
    records = [
        Record(Partition("t", 0), 5, at - 2000, "CREATE_TIME", None, b"a"),
        Record(Partition("t", 0), 7, at - 1000, "CREATE_TIME", None, b"b"),
        Record(Partition("t", 1), 1, at, "CREATE_TIME", None, b"c"),
    ]
    return Discarded(records, "RetryAttemptsExhausted", b'{"records":{}}', 3, last)


def send(clients, destination, what=None, told=None):
    mapping = MappingConfig("u-1", "f", "t", ("a:1", "b:2"), provisioned=Provisioned(), on_failure=destination)
    AwsDestinations(clients, (told if told is not None else []).append, lambda: NOW).send(
        mapping, FunctionConfig("f", __file__, "a.b"), what or discarded()
    )


def test_a_queue_gets_the_metadata():
    clients = Clients()
    send(clients, QUEUE)
    (asked, (call, arguments)) = clients.calls
    assert asked == ("sqs.get_queue_url", {"QueueName": "failed", "QueueOwnerAWSAccountId": "123456789012"})
    assert (call, arguments["QueueUrl"]) == ("sqs.send_message", "http://queue")
    assert json.loads(arguments["MessageBody"]) == {
        "requestContext": {
            "requestId": "request-1",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-11-24T12:30:05.021Z",
        "KafkaBatchInfo": {
            "batchSize": 3,
            "eventSourceArn": "u-1",
            "bootstrapServers": "a:1,b:2",
            "payloadSize": 14,
            "recordsInfo": {
                "t-0": {
                    "firstRecordOffset": "5",
                    "lastRecordOffset": "7",
                    "firstRecordTimestamp": "2026-11-24T12:30:03.021Z",
                    "lastRecordTimestamp": "2026-11-24T12:30:04.021Z",
                },
                "t-1": {
                    "firstRecordOffset": "1",
                    "lastRecordOffset": "1",
                    "firstRecordTimestamp": "2026-11-24T12:30:05.021Z",
                    "lastRecordTimestamp": "2026-11-24T12:30:05.021Z",
                },
            },
        },
    }


def test_a_topic_gets_the_metadata_and_a_bucket_all():
    clients = Clients()
    send(clients, TOPIC)
    send(clients, BUCKET)
    (published, to_topic), (stored, to_bucket) = clients.calls
    assert (published, to_topic["TopicArn"]) == ("sns.publish", TOPIC)
    assert "payload" not in json.loads(to_topic["Message"])
    assert (stored, to_bucket["Bucket"]) == ("s3.put_object", "failed")
    assert to_bucket["Key"].startswith("aws/lambda/u-1/2026/11/24/2026-11-24T12.30.05-")
    assert json.loads(to_bucket["Body"])["payload"] == '{"records":{}}'


def test_what_was_never_invoked_has_no_response():
    clients = Clients()
    send(clients, BUCKET, discarded(last=None))
    assert json.loads(clients.calls[0][1]["Body"])["responseContext"] is None


def test_without_boto3_it_is_told_and_nothing_raised(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    told = []
    send(Clients(UsageError("boto3 is missing: install it")), QUEUE, told=told)
    (line,) = told
    assert QUEUE in line
    assert "boto3 is missing: install it" in line


def test_a_record_whose_time_is_none_is_told_and_nothing_raised():
    told = []
    beyond = Record(Partition("t", 0), 5, 10**18, "CREATE_TIME", None, b"a")
    send(Clients(), QUEUE, Discarded([beyond], "RecordAgeExceeded", b"{}", 0, None), told)
    assert "1 records" in told[0]


@pytest.mark.parametrize("destination", [QUEUE, TOPIC, BUCKET])
def test_a_destination_that_fails_is_told(destination):
    told = []
    send(Clients(ClientError({"Error": {"Code": "AccessDenied"}}, "x")), destination, told=told)
    assert destination in told[0]
    assert "3 records" in told[0]
