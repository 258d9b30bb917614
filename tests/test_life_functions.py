"""What hinders the functions' pollers is told soon and in AWS's words; what passes by itself is waited for."""

import itertools

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import functions

HINDERED = "PROBLEM: SASL authentication failed. the brokers do not take the password"


def status(ready, last_result="No records processed", problems=None):
    mapping = {"topic": "order_placed", "function": "shopstream-payment_processor", "last_result": last_result}
    return {"ready": ready, "mappings": {"1": mapping}, "problems": problems or {}}


@pytest.fixture
def wait(monkeypatch):
    monkeypatch.setattr(functions, "_HINDERED_S", 0.2)
    monkeypatch.setattr(functions, "_READY_S", 0.8)
    monkeypatch.setattr(functions, "last_words", lambda world: "last said: nothing")

    def run(*answers):
        told = itertools.chain(answers, itertools.repeat(answers[-1]))
        monkeypatch.setattr(functions, "status", lambda world: next(told))
        functions._wait_for_pollers(world=None)

    return run


def test_what_passes_is_waited_for(wait):
    wait(status(False, HINDERED), status(True, HINDERED))
    wait(status(False), status(False), status(True))


def test_what_does_not_pass_is_told_with_topic_and_function(wait):
    with pytest.raises(RehearsalError) as raised:
        wait(status(False, HINDERED))
    assert f"order_placed to shopstream-payment_processor: {HINDERED}" in str(raised.value)


def test_what_cannot_be_run_is_told(wait):
    with pytest.raises(RehearsalError, match="shopstream-x: there is no such zip"):
        wait(status(False, problems={"shopstream-x": "there is no such zip"}))


def test_without_a_known_hindrance_it_ends_with_the_last_words(wait):
    with pytest.raises(RehearsalError, match="last said: nothing"):
        wait(status(False))
