"""A file declares functions and mappings with AWS's names; what is wrong in it is told with its place."""

from pathlib import Path

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas.config import load
from shopstream.lambdas.model import FunctionConfig, MappingConfig, Provisioned

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "lambda.yaml"


def written(tmp_path, text):
    (tmp_path / "code").mkdir(exist_ok=True)
    path = tmp_path / "lambda.yaml"
    path.write_text(text)
    return path


def function(settings):
    return f"functions: {{f: {{code: code, {settings}}}}}"


def source(settings):
    return f"handler: a.b, event_sources: [{{topic: t, bootstrap_servers: 'b:1', {settings}}}]"


def test_the_least_and_its_defaults(tmp_path):
    file = load(
        written(
            tmp_path,
            """
            functions:
              f:
                code: code
                handler: app.handler
                event_sources:
                  - {topic: t, bootstrap_servers: "a:9092, b:9092"}
            """,
        )
    )
    assert file.functions == [FunctionConfig("f", tmp_path / "code", "app.handler")]
    (mapping,) = file.mappings
    assert mapping == MappingConfig(mapping.uuid, "f", "t", ("a:9092", "b:9092"), tls=False)
    assert mapping.group == mapping.uuid


def test_everything(tmp_path):
    path = written(
        tmp_path,
        """
        kafka:
          bootstrap_servers: [a:9094]
          auth_secret: file:user.json
          ca_secret: file:ca.json
        functions:
          f:
            code: code
            handler: app.handler
            timeout: 60
            memory_size: 512
            reserved_concurrency: 2
            environment: {AA: text, BB: 3, CC: true}
            event_sources:
              - topic: t
                consumer_group_id: g
                batch_size: 7
                maximum_batching_window_in_seconds: 3
                starting_position: AT_TIMESTAMP
                starting_position_timestamp: 1767225600
                auth_secret: file:other.json
                auth_mechanism: PLAIN
                provisioned_poller_config: {minimum_pollers: 2, maximum_pollers: 4}
                report_batch_item_failures: true
                maximum_retry_attempts: 5
                maximum_record_age_in_seconds: 600
                bisect_batch_on_function_error: true
                on_failure: arn:aws:sqs:us-east-1:123456789012:q
                enabled: false
              - topic: u
        """,
    )
    file = load(path)
    assert file.functions == [
        FunctionConfig(
            "f",
            tmp_path / "code",
            "app.handler",
            60,
            512,
            {"AA": "text", "BB": "3", "CC": "true"},
            reserved_concurrency=2,
        )
    ]
    first, second = file.mappings
    assert first == MappingConfig(
        uuid=first.uuid,
        function="f",
        topic="t",
        bootstrap_servers=("a:9094",),
        group="g",
        batch_size=7,
        window=3,
        starting_position="AT_TIMESTAMP",
        starting_timestamp=1_767_225_600_000,
        auth_secret="file:other.json",
        auth_mechanism="PLAIN",
        ca_secret="file:ca.json",
        provisioned=Provisioned(2, 4),
        report_batch_item_failures=True,
        maximum_retry_attempts=5,
        maximum_record_age=600,
        bisect_batch_on_function_error=True,
        on_failure="arn:aws:sqs:us-east-1:123456789012:q",
        enabled=False,
    )
    assert (second.auth_secret, second.auth_mechanism, second.ca_secret, second.tls) == (
        "file:user.json",
        "SCRAM-SHA-512",
        "file:ca.json",
        True,
    )
    assert first.uuid != second.uuid
    assert load(path) == file  # the same mapping goes on where it was


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("functions: {f: {code: code, handler: a.b, time_out: 3}}", "time_out"),
        ("functions: {f: {code: code}}", "handler"),
        ("functions: {f: {code: code, handler: a.b, timeout: soon}}", "timeout"),
        ("functions: {f: {code: code, handler: a.b, timeout: 901}}", "timeout is 901"),
        ("functions: {f: {code: nowhere.zip, handler: a.b}}", "nowhere.zip does not exist"),
        ("functions: {f: {code: code, handler: a.b, event_sources: [{topic: t}]}}", "bootstrap_servers"),
        (
            """
            kafka: {bootstrap_servers: 'a:1'}
            functions: {f: {code: code, handler: a.b, event_sources: [{topic: t, maximum_retry_attempts: 3}]}}
            """,
            "provisioned mode",
        ),
        (function("handler: a.b, environment: {'A=B': x}"), "function 'f': .* variable 'A=B'"),
        (function("handler: a.b, environment: {'': x}"), "function 'f': .* variable ''"),
        (
            function("handler: a.b, environment: {A: x}"),
            "function 'f': .* variable 'A': a name is a letter and at least",
        ),
        (
            function(r'handler: a.b, environment: {AB: "x\0"}'),
            "function 'f': the variable AB holds what no variable can",
        ),
        (
            function(r'handler: a.b, environment: {AB: "x\ud800"}'),
            "function 'f': the variable AB holds what no variable",
        ),
        (function("handler: a.b, region: Frankfurt"), "function 'f': region is 'Frankfurt': write one such as"),
        (function(r'handler: "a.b\0"'), "function 'f': handler is"),
        (function(source("starting_position_timestamp: .inf")), "of 't' to 'f': .*timestamp is inf: write seconds"),
        (function(source("starting_position_timestamp: .nan")), "timestamp is nan: write seconds"),
        (function(source("starting_position_timestamp: -1")), r"timestamp is -1.0: write seconds"),
        (function(source("}, {topic: t")), "function 'f': its event_sources name the topic 't' more than once"),
        (function(source("consumer_group_id: a}, {topic: t, consumer_group_id: b")), "the topic 't' more than once"),
        ("functions: 2026-13-01", "is no YAML: month must be in"),
        ("functions: " + "[" * 5000, "is nested too deeply"),
        ("functions: [", "no YAML"),
        ("functions: 3", "functions"),
        ("", "object"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=told) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))


def test_a_region_is_that_of_the_arn(tmp_path):
    (here,) = load(written(tmp_path, function("handler: a.b, region: ap-southeast-2"))).functions
    assert here.arn == "arn:aws:lambda:ap-southeast-2:000000000000:function:f"
    assert here.region == "ap-southeast-2"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "lambda.yaml")


def test_the_example_in_the_documentation():
    file = load(EXAMPLE)
    assert {mapping.function for mapping in file.mappings} == {function.name for function in file.functions}
    assert all((function.code / "hello_kafka.py").is_file() for function in file.functions)
