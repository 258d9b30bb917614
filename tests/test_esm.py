"""Every payload that an event source mapping may send is read whole: what is no record is kept, with what is known."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopstream.errors import UsageError
from shopstream.records import Record
from shopstream.runtime import esm
from tests.lambda_fakes import payload, raw

PAYLOADS = Path(__file__).parent / "events"
RAW = {"topic": "order_placed", "partition": 2, "offset": 9, "timestamp": 1, "timestampType": "CREATE_TIME"}


def from_file(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


def deliveries(*raws):
    return esm.deliveries({"records": {"order_placed-2": list(raws)}})


def record(raw):
    ((found, bad),) = deliveries(raw)
    assert bad is None
    return found


class TestRecords:
    @pytest.mark.parametrize("number", [2, "2"])
    def test_partition_and_offset_are_numbers_also_when_they_come_as_texts(self, number):
        found = record(RAW | {"partition": number, "offset": number})
        assert (found.partition, found.offset) == (2, 2)

    @pytest.mark.parametrize("more", [{}, {"key": None, "value": None, "headers": None, "timestamp": None}])
    def test_all_but_the_place_may_be_missing(self, more):
        found = record({name: RAW[name] for name in ("topic", "partition", "offset")} | more)
        assert (found.key, found.value, list(found.headers), found.timestamp_ms) == (None, None, [], esm.UNKNOWN)

    def test_key_and_value_are_bytes(self):
        found = record(RAW | {"key": "AP8=", "value": ""})
        assert (found.key, found.value) == (b"\x00\xff", b"")

    def test_header_bytes_may_be_negative(self):
        found = record(RAW | {"headers": [{"a": [-1, -128, 127, 0, 255]}, {"b": []}, {"a": [104]}, {"c": None}]})
        assert found.headers == [("a", b"\xff\x80\x7f\x00\xff"), ("b", b""), ("a", b"h"), ("c", None)]

    def test_several_partitions_come_in_sequence(self):
        found = [(r.topic, r.partition, r.offset) for r, _ in esm.deliveries(from_file("order_placed"))]
        assert found == [("order_placed", 0, 15), ("order_placed", 0, 16), ("order_placed", 4, 3)]

    def test_the_odd_file_holds_records_only(self):
        found = esm.deliveries(from_file("order_placed_odd"))
        assert [(r.partition, r.offset, bad) for r, bad in found] == [(0, n, None) for n in (15, 16, 17, 18)]
        assert dict(found[1].record.headers)["grüße"] == b"\xc3\xbc\x00\x7f\x80"

    @given(st.binary(max_size=9), st.one_of(st.none(), st.binary(max_size=9)), st.binary(max_size=9))
    def test_any_bytes_survive_the_way_through_aws(self, value, key, header):
        ((found, _),) = esm.deliveries(json.loads(json.dumps(payload(raw("t", 3, key, value, 1, [("h", header)])))))
        assert found == Record("t", 1, 3, 1_772_438_400_555, key, value, [("h", header)])

    @pytest.mark.parametrize(
        "event", [None, {}, {"records": None}, {"records": {}}, {"records": {"order_placed-0": []}}, from_file("empty")]
    )
    def test_an_empty_batch_is_no_trouble(self, event):
        assert esm.deliveries(event) == []

    @pytest.mark.parametrize("event", ["text", 7, [1], {"records": [RAW]}, {"records": "x"}], ids=repr)
    def test_what_no_mapping_sends_is_refused(self, event):
        with pytest.raises(UsageError, match="invoke it through a mapping"):
            esm.deliveries(event)

    @pytest.mark.parametrize(
        "event",
        [
            {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
            {"id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
        ],
    )
    def test_another_service_s_event_is_refused_and_not_taken_for_done(self, event):
        with pytest.raises(UsageError, match=f"was given a dict with .*{next(iter(event))}.*: invoke it through"):
            esm.deliveries(event)


class TestWhatIsNoRecord:
    @pytest.mark.parametrize(
        "entry",
        [
            7,
            None,
            {},
            [],
            RAW | {"offset": "x"},
            RAW | {"partition": 1.5},
            RAW | {"value": "*"},
            RAW | {"headers": [[1]]},
        ],
        ids=repr,
    )
    def test_it_is_kept_as_it_came(self, entry):
        (found, bad), (neighbour, fine) = deliveries(entry, RAW)
        assert bad.reason == "not_a_record"
        assert json.loads(found.value) == entry
        assert (found.topic, found.partition) == ("order_placed", 2)
        assert fine is None
        assert neighbour.offset == 9

    def test_the_entry_s_own_word_on_its_origin_counts_first(self):
        ((found, _),) = deliveries({"topic": "elsewhere", "partition": "5", "offset": 7, "value": "*"})
        assert (found.topic, found.partition, found.offset) == ("elsewhere", 5, 7)

    def test_an_unknown_origin_is_told_as_such(self):
        ((found, _),) = esm.deliveries({"records": {"nonsense": [{}]}})
        assert (found.partition, found.offset, found.timestamp_ms) == (-1, -1, -1)

    def test_a_batch_that_is_none_is_one_such_entry(self):
        assert [r.value for r, _ in esm.deliveries({"records": {"a-0": None, "a-1": {"x": 1}}})] == [
            b"null",
            b'{"x":1}',
        ]

    def test_a_huge_one_is_cut_and_says_so(self):
        ((found, bad),) = deliveries({"junk": "x" * 2_000_000})
        assert len(found.value) == esm.MOST_RAW_BYTES
        assert "only the first 1048576 of its" in bad.detail


class TestResponse:
    def test_success_names_nothing(self):
        assert esm.response() == {"batchItemFailures": []}

    def test_each_failed_record_is_named_in_aws_s_form(self):
        failed = [Record("topic", 0, offset, 0, None, None) for offset in (100, 102)]
        assert esm.response(failed) == {
            "batchItemFailures": [
                {"itemIdentifier": {"partition": "topic-0", "offset": 100}},
                {"itemIdentifier": {"partition": "topic-0", "offset": 102}},
            ]
        }
