"""The stand-in for AWS starts, answers any program that has its environment, says what it cannot answer, and ends."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import psutil
import pytest

from shopstream.errors import AwsError
from shopstream.rehearsal.aws import ACCOUNT_ID, AwsStandIn
from shopstream.rehearsal.clients import client_of
from shopstream.rehearsal.shims import SHIMMED
from tests.waiting import until

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with AwsStandIn(tmp_path_factory.mktemp("aws") / "log" / "moto.log") as stand_in:
        yield stand_in


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(aws):
    return int(aws.endpoint.rpartition(":")[2])


def test_it_answers_for_its_own_account(aws):
    assert aws.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID
    assert aws.client("sts") is aws.client("sts")


def test_its_environment_is_all_that_another_program_needs(aws):
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    around = {**os.environ, "AWS_PROFILE": "nobody", "AWS_SESSION_TOKEN": "old", "http_proxy": "http://127.0.0.1:9"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=aws.apart(around), capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout.strip(), result.returncode) == (ACCOUNT_ID, 0), result.stderr


def test_its_environment_keeps_what_was_not_to_go_through_a_proxy(aws, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert aws.environment()["NO_PROXY"].split(",") == ["example.com", "127.0.0.1", "localhost"]
    assert aws.environment()["no_proxy"] == aws.environment()["NO_PROXY"]


def test_what_the_environment_says_of_aws_does_not_reach_its_clients(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111111111111")
    with AwsStandIn(tmp_path / "log") as aws:
        assert aws.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID


def test_reset_empties_the_account_and_nothing_else(aws):
    queues = aws.client("sqs")
    queues.create_queue(QueueName="one")
    before = aws.endpoint
    aws.reset()
    assert queues.list_queues().get("QueueUrls", []) == []
    assert aws.endpoint == before


def test_the_account_is_strict_and_has_the_managed_policies(aws):
    ec2 = aws.client("ec2")
    image = aws.client("ssm").get_parameter(Name="/aws/service/debian/release/12/latest/amd64")["Parameter"]["Value"]
    ec2.create_key_pair(KeyName="key")
    good = {"ImageId": image, "InstanceType": "t2.micro", "KeyName": "key", "MinCount": 1, "MaxCount": 1}
    for wrong in ({"ImageId": "ami-00000000"}, {"InstanceType": "t9.huge"}, {"KeyName": "none"}):
        with pytest.raises(ec2.exceptions.ClientError):
            ec2.run_instances(**{**good, **wrong})
    assert ec2.run_instances(**good)["Instances"][0]["InstanceType"] == "t2.micro"
    aws.client("iam").get_policy(PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")


@pytest.mark.parametrize(
    ("service", "call", "arguments", "operation"),
    [
        ("ec2", "describe_fleet_history", {"FleetId": "fleet-1", "StartTime": 0}, "DescribeFleetHistory"),
        ("lambda", "list_code_signing_configs", {}, "ListCodeSigningConfigs"),
        ("dynamodb", "list_global_tables", {}, "ListGlobalTables"),
        ("iam", "get_service_last_accessed_details", {"JobId": "0" * 36}, "GetServiceLastAccessedDetails"),
        ("sns", "list_origination_numbers", {}, "ListOriginationNumbers"),
    ],
)
def test_a_call_that_it_lacks_fails_at_once_and_is_listed(aws, service, call, arguments, operation):
    client = aws.client(service)
    before = len([each for each in aws.log.read_text().splitlines() if each.startswith("UNSUPPORTED")])
    with pytest.raises(client.exceptions.ClientError) as refused:
        getattr(client, call)(**arguments)
    assert refused.value.response["Error"]["Code"] == "NotSupportedByStandIn"
    assert any(each.startswith(f"{service}.{operation}: ") for each in aws.unsupported_calls())
    after = len([each for each in aws.log.read_text().splitlines() if each.startswith("UNSUPPORTED")])
    assert after == before + 1  # nobody tried again


def test_what_aws_itself_refuses_is_not_listed_as_unsupported(tmp_path):
    with AwsStandIn(tmp_path / "log") as aws:
        client = aws.client("lambda")
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_function(FunctionName="none")
        s3 = aws.client("s3")
        with pytest.raises(s3.exceptions.ClientError):
            s3.get_object(Bucket="none", Key="none")
        assert aws.unsupported_calls() == []


def test_a_body_of_several_megabytes_and_the_next_request_on_the_same_connection(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="big")
    body = os.urandom(3_000_000)
    s3.put_object(Bucket="big", Key="a/b c", Body=body)
    assert s3.head_object(Bucket="big", Key="a/b c")["ContentLength"] == len(body)
    assert s3.get_object(Bucket="big", Key="a/b c")["Body"].read() == body
    s3.delete_object(Bucket="big", Key="a/b c")


def test_stop_ends_it_and_a_second_start_is_a_new_account(tmp_path):
    aws = AwsStandIn(tmp_path / "log")
    with pytest.raises(AwsError, match=r"start\(\)"):
        _ = aws.endpoint
    with pytest.raises(AwsError, match=r"start\(\)"):
        aws.unsupported_calls()
    aws.start()
    port, pid = port_of(aws), aws.pid
    aws.start()  # nothing happens
    assert aws.pid == pid
    aws.client("sqs").create_queue(QueueName="one")
    aws.stop()
    aws.stop()
    assert not psutil.pid_exists(pid)
    assert not listening(port)
    with aws:
        assert aws.client("sqs").list_queues().get("QueueUrls", []) == []


def test_a_port_that_is_taken_is_told_with_the_servers_own_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        aws = AwsStandIn(tmp_path / "log", port=taken.getsockname()[1])
        with pytest.raises(AwsError, match="in use"):
            aws.start()
    with pytest.raises(AwsError):
        _ = aws.pid


def test_it_ends_with_its_parent_however_that_ends(tmp_path):
    program = f"""
        import pathlib, signal
        from shopstream.rehearsal.aws import AwsStandIn
        aws = AwsStandIn(pathlib.Path({str(tmp_path / "log")!r}))
        aws.start()
        print(aws.pid, aws.endpoint.rpartition(":")[2], flush=True)
        signal.pause()
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    try:
        pid, port = map(int, parent.stdout.readline().split())
        assert listening(port)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        until(lambda: not listening(port), "the port is closed")
        until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "it is gone")
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_neither_moto_nor_boto3_is_imported_before_it_is_needed():
    program = "import sys, shopstream.rehearsal.aws, shopstream.rehearsal.shims; print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"'moto'", "'boto3'", "'botocore'", "'flask'"} & set(loaded.strip("[]\n").split(", "))


def test_each_shim_of_the_list_is_a_module_and_each_module_a_shim():
    program = """
        import pkgutil, shopstream.rehearsal.moto as package
        print(*(each.name for each in pkgutil.iter_modules(package.__path__)))
    """
    modules = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {each.name for each in SHIMMED} == set(modules) - {"constraints", "kafka_mapping_rules", "patching"}
    assert len({each.name for each in SHIMMED}) == len(SHIMMED)
    assert all(each.what and each.why for each in SHIMMED)


def test_it_can_listen_at_more_addresses_with_the_same_account(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port = probe.getsockname()[1]
    with AwsStandIn(tmp_path / "aws.log", also=[("127.0.0.2", port)]) as stand_in:
        stand_in.client("s3").create_bucket(Bucket="shop")
        elsewhere = client_of("s3", f"http://127.0.0.2:{port}", "us-east-1")
        assert [each["Name"] for each in elsewhere.list_buckets()["Buckets"]] == ["shop"]
        elsewhere.close()
