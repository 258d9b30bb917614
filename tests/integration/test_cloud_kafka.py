"""What an AWS API holds runs on a real Kafka, as a process of its own, and follows what is changed there."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from shopstream.rehearsal.aws import AwsStandIn
from shopstream.rehearsal.cloud.control import ask
from shopstream.rehearsal.cloud.programs import sha256_of
from tests.integration.lambda_kafka import World
from tests.lambda_world import gone, runtime, zipped
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.infra, pytest.mark.timeout(240)]

APP = """
    import base64, json

    def handler(event, context):
        if "records" not in event:
            print("EVENT {version}", json.dumps(event))
            return "{version}"
        for records in event["records"].values():
            for record in records:
                print("GOT {version}", base64.b64decode(record["value"]).decode())
"""
GROUP = "/own/shop"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class Deployment:
    """One function on one topic, as Terraform would have made it."""

    def __init__(self, aws, kafka, folder):
        self.aws, self.kafka, self.folder = aws, kafka, folder
        secret = aws.client("secretsmanager").create_secret
        self.user = secret(Name="user", SecretString=json.dumps(kafka.secrets.user))["ARN"]
        self.ca = secret(Name="ca", SecretString=json.dumps(kafka.secrets.ca))["ARN"]
        role = aws.client("iam").create_role(RoleName="shop", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        aws.client("s3").create_bucket(Bucket="code")
        aws.client("logs").create_log_group(logGroupName=GROUP)
        self.functions = aws.client("lambda")
        self.functions.create_function(
            FunctionName="shop",
            Runtime="python3.13",
            Handler="app.handler",
            Role=role,
            Timeout=10,
            Code=self.code(1),
            LoggingConfig={"LogGroup": GROUP},
        )
        self.arn = self.functions.get_function_configuration(FunctionName="shop")["FunctionArn"]
        self.mapping = self.functions.create_event_source_mapping(
            FunctionName="shop",
            Topics=[kafka.topic],
            StartingPosition="TRIM_HORIZON",
            Enabled=False,
            SelfManagedEventSource={
                "Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": kafka.user.bootstrap_servers.split(",")},
            },
            SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": kafka.group},
            SourceAccessConfigurations=[
                {"Type": "SASL_SCRAM_512_AUTH", "URI": self.user},
                {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": self.ca},
            ],
        )["UUID"]

    def code(self, version):
        path = zipped(self.folder / f"v{version}.zip", app=APP.format(version=f"v{version}"))
        self.zip = path.read_bytes()
        self.aws.client("s3").put_object(Bucket="code", Key=path.name, Body=self.zip)
        return {"S3Bucket": "code", "S3Key": path.name}

    def enable(self, enabled):
        until(lambda: self.state in {"Enabled", "Disabled"}, "the mapping has settled")
        self.functions.update_event_source_mapping(UUID=self.mapping, Enabled=enabled)

    @property
    def state(self):
        return self.functions.get_event_source_mapping(UUID=self.mapping)["State"]

    def schedule(self):
        rule = self.aws.client("events").put_rule(Name="clock", ScheduleExpression="rate(1 minute)")["RuleArn"]
        self.functions.add_permission(
            FunctionName="shop",
            StatementId="schedule",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule,
        )
        self.aws.client("events").put_targets(Rule="clock", Targets=[{"Id": "a", "Arn": self.arn}])

    def lines(self):
        """What CloudWatch Logs has of it."""
        logs = self.aws.client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP)
        return [event["message"] for page in pages for event in page["events"]]

    def got(self, version):
        found = [re.fullmatch(rf"GOT {version} (\d+)\s*", line) for line in self.lines()]
        return [match[1] for match in found if match]


@pytest.fixture
def aws(tmp_path):
    with AwsStandIn(tmp_path / "aws.log") as stand_in:
        yield stand_in
        assert stand_in.unsupported_calls() == []


@pytest.fixture
def kafka(cluster, tmp_path):
    made = World(cluster, tmp_path)
    made.create()
    made.allow()
    return made


@pytest.fixture
def process(aws, tmp_path):
    """The cloud, as the rehearsal starts it."""
    state = tmp_path / "cloud"
    command = [sys.executable, "-m", "shopstream.rehearsal.cloud", "--endpoint", aws.endpoint, "--state", str(state)]
    command += ["--python", str(runtime().python())]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    with (tmp_path / "cloud.log").open("w") as log:
        made = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    made.state = state
    made.log = tmp_path / "cloud.log"
    try:
        until(lambda: "started" in made.log.read_text() or made.poll() is not None, "it has started")
        yield made
    finally:
        if made.poll() is None:
            made.kill()
        made.wait()


def test_it_runs_what_the_api_holds_and_follows_it(aws, kafka, process, tmp_path):
    shop = Deployment(aws, kafka, tmp_path)
    until(lambda: "shop" in ask(process.state, "status")["functions"], "the function is taken up", 10)
    kafka.send(30)
    kafka.producer.flush(10)
    assert ask(process.state, "invoke", function="shop", payload={"by": "hand"})["payload"] == '"v1"'
    assert shop.got("v1") == []  # the mapping is disabled

    shop.enable(True)
    until(lambda: sorted(shop.got("v1"), key=int) == kafka.sent, "every record once", 30)
    status = ask(process.state, "status")
    assert (status["ready"], status["problems"]) == (True, {})
    assert status["functions"]["shop"]["code_sha256"] == sha256_of(shop.zip)
    old = status["functions"]["shop"]["processes"]

    shop.functions.update_function_code(FunctionName="shop", **shop.code(2))
    digest = sha256_of(shop.zip)
    until(lambda: ask(process.state, "status")["functions"]["shop"]["code_sha256"] == digest, "v2 is taken up", 5)
    until(lambda: all(map(gone, old)), "the warm environments are replaced")
    kafka.send(30)
    kafka.producer.flush(10)
    until(lambda: sorted(shop.got("v2"), key=int) == kafka.sent[30:], "the rest by v2", 30)

    ask(process.state, "faults", redeliver=1.0, function="shop")
    kafka.send(1)
    kafka.producer.flush(10)
    until(lambda: shop.got("v2").count(kafka.sent[-1]) == 2, "it is delivered twice", 30)

    shop.schedule()
    until(lambda: ask(process.state, "status")["schedules"], "the rule is known", 5)
    ask(process.state, "fire", rule="clock")
    until(lambda: any('"detail-type": "Scheduled Event"' in line for line in shop.lines()), "it was fired", 20)

    until(lambda: shop.state == "Enabled", "the mapping has settled")
    shop.functions.delete_event_source_mapping(UUID=shop.mapping)
    until(lambda: not ask(process.state, "status")["mappings"], "the mapping is gone", 5)
    kafka.send(1)
    kafka.producer.flush(10)
    left = ask(process.state, "status")["functions"]["shop"]["processes"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, process.log.read_text()
    assert kafka.sent[-1] not in shop.got("v2")
    assert all(map(gone, left))
    told = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert [each["what"] for each in told if each["what"] in {"problem", "trouble", "logs", "api", "failed"}] == []
    assert told[-1]["what"] == "stopped"
    groups = aws.client("logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == [GROUP]
