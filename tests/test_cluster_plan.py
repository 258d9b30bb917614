"""The plan says exactly what differs between the topology and a cluster, and nothing when nothing does."""

from __future__ import annotations

from dataclasses import replace

from shopstream.cluster.plan import ClusterState, Plan, Surplus, TopicState, compare, wanted
from shopstream.topology import Acl, load

EMPTY = ClusterState({}, frozenset(), frozenset())
TOPIC = TopicState(6, 3, {"retention.ms": "1000"})
ACL = Acl("reader", "topic", "orders", "literal", "read")
STATE = ClusterState({"orders": TOPIC}, frozenset({"reader"}), frozenset({ACL}))


def test_an_empty_cluster_gets_everything():
    assert compare(STATE, EMPTY) == Plan(create={"orders": TOPIC}, users=("reader",), grant=(ACL,))


def test_nothing_is_done_when_nothing_differs():
    plan = compare(STATE, STATE)
    assert plan == Plan()
    assert not plan.surplus


def test_what_nobody_declares_is_surplus():
    assert compare(EMPTY, STATE) == Plan(surplus=Surplus(("orders",), ("reader",), (ACL,)))


def test_what_an_operator_makes_itself_is_no_surplus():
    want = replace(EMPTY, foreign=("_own",))
    have = replace(EMPTY, topics={"_own-topic": TOPIC, "other": TOPIC})
    assert compare(want, have).surplus == Surplus(topics=("other",))


def test_a_user_that_is_kept_is_no_surplus_with_its_rights():
    assert compare(EMPTY, STATE, keep={"reader"}).surplus == Surplus(topics=("orders",))


def test_settings_are_changed_one_by_one_and_foreign_ones_taken_back():
    have = replace(STATE, topics={"orders": replace(TOPIC, config={"retention.ms": "2", "flush.ms": "5"})})
    assert compare(STATE, have).configure == {"orders": {"flush.ms": None, "retention.ms": "1000"}}


def test_another_shape_is_a_matter_of_its_own():
    for other in (replace(TOPIC, partitions=5), replace(TOPIC, replication=1)):
        plan = compare(STATE, replace(STATE, topics={"orders": replace(other, config={})}))
        assert plan == Plan(reshape={"orders": TOPIC})


def test_no_more_copies_than_brokers_and_no_more_in_sync_than_copies():
    topology = load()
    for brokers, copies, in_sync in ((1, 1, "1"), (3, 3, "2")):
        topics = wanted(topology, brokers).topics
        assert topics.keys() == topology.topics.keys()
        assert {topic.replication for topic in topics.values()} == {copies}
        assert {topic.config["min.insync.replicas"] for topic in topics.values()} == {in_sync}


def test_users_and_acls_are_the_topologys():
    topology = load()
    state = wanted(topology, 1)
    assert state.users == set(topology.users)
    assert state.acls == set(topology.acls())
