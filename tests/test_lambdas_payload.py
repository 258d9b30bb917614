"""A batch becomes the JSON that AWS sends, and no payload is larger than Lambda takes."""

import base64
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from shopstream.lambdas.payload import LARGEST, Partition, Record, encode, split

T0 = Partition("mytopic", 0)


def record(partition=T0, offset=15, key=b"k", value=b"v", headers=(), kind="CREATE_TIME"):
    return Record(partition, offset, 1545084650987, kind, key, value, headers)


def test_awss_own_example():
    """The event of "Using Lambda with self-managed Apache Kafka", byte for byte in meaning."""
    key, value = b"recordKey", b"Hello, this is a test."
    payload = encode(
        [record(key=key, value=value, headers=[("headerKey", b"headerValue")])], "b-2.demo:9092,b-1.demo:9092"
    )
    assert json.loads(payload) == {
        "eventSource": "aws:SelfManagedKafka",
        "bootstrapServers": "b-2.demo:9092,b-1.demo:9092",
        "records": {
            "mytopic-0": [
                {
                    "topic": "mytopic",
                    "partition": 0,
                    "offset": 15,
                    "timestamp": 1545084650987,
                    "timestampType": "CREATE_TIME",
                    "key": "cmVjb3JkS2V5",
                    "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "headers": [{"headerKey": [104, 101, 97, 100, 101, 114, 86, 97, 108, 117, 101]}],
                }
            ]
        },
    }


def test_what_is_missing_is_left_out_and_bytes_are_javas():
    odd = record(key=None, value=None, headers=[("h", b"\x00\x7f\x80\xff"), ("h", None)], kind="LOG_APPEND_TIME")
    (sent,) = json.loads(encode([odd], "b:1"))["records"]["mytopic-0"]
    assert sent == {
        "topic": "mytopic",
        "partition": 0,
        "offset": 15,
        "timestamp": 1545084650987,
        "timestampType": "LOG_APPEND_TIME",
        "headers": [{"h": [0, 127, -128, -1]}, {"h": None}],
    }
    (empty,) = json.loads(encode([record(key=b"", value=b"")], "b:1"))["records"]["mytopic-0"]
    assert (empty["key"], empty["value"]) == ("", "")


def test_records_stand_by_partition_in_their_order():
    other = Partition("mytopic", 1)
    records = [record(offset=1), record(other, 7), record(offset=2), record(other, 8)]
    sent = json.loads(encode(records, "b:1"))["records"]
    assert {name: [each["offset"] for each in batch] for name, batch in sent.items()} == {
        "mytopic-0": [1, 2],
        "mytopic-1": [7, 8],
    }


contents = st.binary(max_size=60)
some_records = st.lists(
    st.builds(
        Record,
        st.builds(Partition, st.sampled_from(["t", 'odd"tøpic']), st.integers(0, 3)),
        st.integers(0, 99),
        st.integers(0, 2**40),
        st.just("CREATE_TIME"),
        st.none() | contents,
        st.none() | contents,
        st.lists(st.tuples(st.text(max_size=5), st.none() | contents), max_size=2),
    ),
    max_size=30,
)


@given(some_records)
def test_nothing_is_lost_on_the_way(records):
    sent = json.loads(encode(records, "b:1"))["records"]
    for partition in {each.partition for each in records}:
        expected = [each for each in records if each.partition == partition]
        for raw, each in zip(sent[str(partition)], expected, strict=True):
            assert raw["offset"] == each.offset
            assert (None if each.value is None else base64.b64decode(raw["value"])) == each.value
            assert (None if each.key is None else base64.b64decode(raw["key"])) == each.key


@given(some_records, st.integers(200, 4000))
def test_pieces_keep_the_order_and_the_limit(records, largest):
    pieces = list(split(records, "b:1", largest))
    assert [each for piece in pieces for each in piece] == records
    for piece in pieces:
        assert piece
        assert len(encode(piece, "b:1")) <= largest or len(piece) == 1
    # As few as can be: what follows would not have fitted into its predecessor.
    for piece, following in itertools.pairwise(pieces):
        assert len(encode([*piece, following[0]], "b:1")) > largest


def test_six_megabytes():
    records = [record(offset=n, value=bytes(786_000)) for n in range(7)]  # 1,048,000 bytes in base64
    pieces = list(split(records, "b:1"))
    assert [len(piece) for piece in pieces] == [6, 1]
    assert all(len(encode(piece, "b:1")) <= LARGEST for piece in pieces)


def test_a_record_beyond_the_limit_comes_alone():
    records = [record(offset=1), record(offset=2, value=bytes(LARGEST)), record(offset=3)]
    assert [[each.offset for each in piece] for piece in split(records, "b:1")] == [[1], [2], [3]]
