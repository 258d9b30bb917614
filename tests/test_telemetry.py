"""Every invocation writes one document that CloudWatch takes its metrics from, by the rules of its specification."""

import json
import re

import pytest

from shopstream.runtime.telemetry import METRICS, TRACE_HEADER
from tests.lambda_fakes import TRACE, Context, Lines, function_of, telemetry_of

# "Specification: Embedded metric format", its JSON schema.
UNITS = re.compile(
    r"Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|"
    r"Terabits|Percent|Count|(?:Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|Terabits|"
    r"Count)/Second|None"
)


def check(document):
    """Raise what is wrong with an embedded metric format document."""
    metadata = document["_aws"]
    assert metadata.keys() == {"Timestamp", "CloudWatchMetrics"}
    assert type(metadata["Timestamp"]) is int
    assert metadata["Timestamp"] > 10**12  # milliseconds
    assert len(json.dumps(document)) < 256 * 1024
    for directive in metadata["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 255
        assert len(directive["Dimensions"]) >= 1
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 9
            assert all(isinstance(document[name], str) and document[name] for name in dimensions)
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric.keys() <= {"Name", "Unit", "StorageResolution"}
            assert 1 <= len(metric["Name"]) <= 255
            assert UNITS.fullmatch(metric["Unit"])
            assert type(document[metric["Name"]]) in {int, float}


def documents(invocations=1, event=None):
    lines = Lines()
    function = function_of("payment_processor", lines=lines)
    for _ in range(invocations):
        function.handle(event or {}, Context())
    return lines.metrics


def test_the_document_keeps_the_rules():
    (document,) = documents()
    check(document)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("shop", [["service"]])
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == METRICS
    assert document["service"] == "payment_processor"
    assert document["_aws"]["Timestamp"] == 1_700_000_000_500


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("service"),
        lambda d: d.pop("DeadLetters"),
        lambda d: d.update(DeadLetters="1"),
        lambda d: d["_aws"].update(Timestamp=1.5),
        lambda d: d["_aws"]["CloudWatchMetrics"][0].update(Namespace=""),
        lambda d: d["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].update(Unit="Counts"),
    ],
)
def test_the_check_notices_what_breaks_them(spoil):
    (document,) = documents()
    spoil(document)
    with pytest.raises((AssertionError, KeyError)):
        check(document)


def test_only_the_first_invocation_is_a_cold_start():
    assert [document["ColdStart"] for document in documents(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=0", TRACE),
        (f"Self=1-2-3;Root={TRACE}", TRACE),
        (f"Root={TRACE};Lineage=a87bd80c:0", TRACE),
        ("", None),
        ("Sampled=1", None),
        ("NotRoot=1-2-3", None),
    ],
)
def test_the_trace_is_the_root_of_x_ray_s_header(header, trace):
    lines = Lines()
    telemetry_of("payment_processor", lines, {TRACE_HEADER: header}).begin(Context()).end()
    assert lines[0]["trace_id"] == trace


def test_each_invocation_has_its_own_trace():
    lines, environ = Lines(), {}
    telemetry = telemetry_of("payment_processor", lines, environ)
    for trace in ("1-a-b", "1-c-d"):
        environ[TRACE_HEADER] = f"Root={trace}"
        telemetry.begin(Context()).end()
    assert [line["trace_id"] for line in lines] == ["1-a-b", "1-c-d"]


def test_lines_go_to_standard_output_one_each(capsys):
    from tests.lambda_fakes import TOPOLOGY, Telemetry

    Telemetry(TOPOLOGY, TOPOLOGY.services["payment_processor"], "n", {}).begin(None).end()
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    check(json.loads(out))
