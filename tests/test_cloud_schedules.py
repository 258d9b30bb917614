"""Schedules are due when EventBridge says so, and send what it sends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from shopstream.errors import UsageError
from shopstream.rehearsal.cloud.scheduler import Schedule
from shopstream.rehearsal.cloud.schedules import event_of, parse

NOW = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)  # a Monday
ARN = "arn:aws:events:us-east-1:123456789012:rule/shop"


def minutes(number):
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("rate(1 minute)", NOW + minutes(1)),
        ("rate(5 minutes)", NOW + minutes(5)),
        ("rate(1 hour)", NOW + minutes(60)),
        ("rate(2 days)", NOW + timedelta(days=2)),
        ("cron(0 12 * * ? *)", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("cron(0 8 * * ? *)", datetime(2026, 3, 3, 8, tzinfo=UTC)),
        ("cron(0/15 * * * ? *)", datetime(2026, 3, 2, 8, 15, tzinfo=UTC)),
        ("cron(15,45 8-9 ? * TUE-FRI *)", datetime(2026, 3, 3, 8, 15, tzinfo=UTC)),
        ("cron(0 0 ? * 1 *)", datetime(2026, 3, 8, tzinfo=UTC)),  # 1 is Sunday
        ("cron(0 0 29 FEB ? *)", datetime(2028, 2, 29, tzinfo=UTC)),
        ("cron(0 0 1 JAN ? 2025)", None),
    ],
)
def test_the_first_time_after_now(expression, after):
    assert parse(expression).next(NOW, NOW) == after


def test_a_rate_keeps_its_step():
    assert parse("rate(5 minutes)").next(NOW + minutes(12), NOW) == NOW + minutes(15)


@pytest.mark.parametrize(
    "expression",
    [
        *("rate(1 minutes)", "rate(5 minute)", "rate(0 minutes)", "every minute", "cron(0 12 * * *)"),
        *("cron(0 12 * * * *)", "cron(61 12 * * ? *)", "cron(0 12 L * ? *)", "cron(0 9-8 * * ? *)"),
    ],
)
def test_what_is_no_schedule_is_refused(expression):
    with pytest.raises(UsageError):
        parse(expression)


def rule(**changes):
    return {"Name": "shop", "Arn": ARN, "State": "ENABLED", "ScheduleExpression": "rate(1 minute)", **changes}


def test_the_event_is_that_of_eventbridge():
    event = json.loads(event_of(rule(), {"Id": "a"}, NOW))
    assert len(event.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-03-02T08:00:30Z",
        "region": "us-east-1",
        "resources": [ARN],
        "detail": {},
    }


def test_a_target_can_have_an_input_of_its_own():
    assert event_of(rule(), {"Input": '{"orders": 3}'}, NOW) == b'{"orders": 3}'
    assert event_of(rule(), {"InputPath": "$.region"}, NOW) == b'"us-east-1"'
    for odd in ({"InputPath": "$.nothing"}, {"InputTransformer": {"InputTemplate": "x"}}):
        with pytest.raises(UsageError):
            event_of(rule(), odd, NOW)


def test_a_rule_is_due_again_and_again_while_it_is_enabled():
    told = []
    schedule = Schedule(told.append)
    schedule.follow([rule()], NOW)
    assert list(schedule.due(NOW + timedelta(seconds=59))) == []
    assert [each.at for each in schedule.due(NOW + timedelta(seconds=61))] == [NOW + minutes(1)]
    assert list(schedule.due(NOW + timedelta(seconds=62))) == []
    # Two were missed: one is made up for.
    assert [each.at for each in schedule.due(NOW + minutes(3.5))] == [NOW + minutes(2)]
    assert [each.at for each in schedule.due(NOW + minutes(4))] == [NOW + minutes(4)]
    schedule.follow([rule(State="DISABLED")], NOW + minutes(5))
    assert list(schedule.due(NOW + minutes(9))) == []
    schedule.follow([rule()], NOW + minutes(10))
    assert [each.at for each in schedule.due(NOW + minutes(11))] == [NOW + minutes(11)]
    schedule.follow([], NOW + minutes(11))
    assert list(schedule.due(NOW + minutes(20))) == []
    assert told == []


def test_a_rule_that_is_not_understood_is_told_once():
    told = []
    schedule = Schedule(told.append)
    for _ in range(3):
        schedule.follow([rule(ScheduleExpression="cron(0 12 L * ? *)")], NOW)
    assert list(schedule.due(NOW + timedelta(days=99))) == []
    assert len(told) == 1
