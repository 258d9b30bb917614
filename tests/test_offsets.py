"""Offsets are asked for until every partition has answered, past leaders that die meanwhile."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from shopstream.offsets import LATEST, list_offsets


class Answer:
    def __init__(self, offset):
        self.offset = offset

    def result(self):
        if isinstance(self.offset, int):
            raise KafkaException(KafkaError(self.offset))
        return self


class Admin:
    """Answers from a list: for each call, what each partition says; an int is an error's code."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.limits = []
        self.metadata = 0

    def list_offsets(self, request, *, isolation_level, request_timeout):
        self.asked.append(sorted(place.partition for place in request))
        self.limits.append(request_timeout)
        now = self.answers.pop(0)
        return {place: Answer(now[place.partition]) for place in request}

    def list_topics(self, timeout):
        self.metadata += 1


PLACES = [("t", 0), ("t", 1), ("t", 2)]


def test_only_those_that_did_not_answer_are_asked_again_after_new_metadata():
    fenced, late, headless = KafkaError.FENCED_LEADER_EPOCH, KafkaError._TIMED_OUT, KafkaError._NOENT
    admin = Admin({0: "5", 1: fenced, 2: late}, {1: "6", 2: headless}, {2: "7"})
    assert list_offsets(admin, PLACES, LATEST) == {("t", 0): "5", ("t", 1): "6", ("t", 2): "7"}
    assert admin.asked == [[0, 1, 2], [1, 2], [2]]
    assert admin.metadata == 2


def test_one_attempt_does_not_use_up_all_patience():
    admin = Admin({0: "5", 1: "6", 2: "7"})
    list_offsets(admin, PLACES, LATEST, patience=30)
    assert admin.limits == [5]


def test_what_does_not_pass_is_raised_at_once():
    admin = Admin({0: "5", 1: KafkaError.TOPIC_AUTHORIZATION_FAILED, 2: "7"})
    with pytest.raises(KafkaException):
        list_offsets(admin, PLACES, LATEST)


def test_patience_ends():
    admin = Admin(*[{0: KafkaError.NOT_LEADER_FOR_PARTITION}] * 50)
    with pytest.raises(KafkaException):
        list_offsets(admin, PLACES[:1], LATEST, patience=0.25)
    assert 2 <= len(admin.asked) <= 4
