"""A topology that does not hold together is refused with line and remedy; rights are the least that each user needs."""

from pathlib import Path

import pytest
import yaml

from shopstream.errors import TopologyError, UsageError
from shopstream.events import EVENT_TYPES
from shopstream.topology import Acl, default_path, load, parse

SOUND = """\
dead_letters: dead
topics:
  orders:
    partitions: 2
    events: [order_placed]
  payments:
    partitions: 2
    events: [payment_approved]
    sink: true
  dead:
    sink: true
  memory:
    partitions: 2
    compacted: true
  progress:
    partitions: 1
    compacted: true
services:
  shop:
    produces: [orders]
    progress: progress
  till:
    consumes: [orders]
    produces: [payments]
    state: memory
    options: {seed: 0}
operators:
  root:
    superuser: true
  auditor:
    reads: all
    watches_groups: true
  monitor:
    reads: [orders]
    inspects: true
    owns: _mon
  agent:
    feeds: [_mon-metrics]
"""
SHOP = "    produces: [orders]\n    progress: progress\n"
TILL = "    options: {seed: 0}\n"
ROOT = "    superuser: true\n"
OWNS = "    owns: _mon\n"
FEEDS = "    feeds: [_mon-metrics]\n"


def edited(old, new):
    """The sound topology with an edit, and the number of the line that `#!` marks in it."""
    assert SOUND.count(old) == 1, f"{old!r} must stand once in the sound topology"
    text = SOUND.replace(old, new)
    line = next((number for number, line in enumerate(text.splitlines(), start=1) if "#!" in line), 1)
    return text, line


# What is wrong: (what to replace in the sound topology, by what, the problem, the remedy).
RULES = {
    "not YAML": ("dead_letters: dead\n", "dead_letters: [dead\n", "not valid YAML: ", "mend the syntax"),
    "unknown key at the root": (
        "topics:\n",
        "topix: {} #!\ntopics:\n",
        "unknown key 'topix'",
        "use one of: defaults, dead_letters, topics, services, operators",
    ),
    "unknown default": ("topics:\n", "defaults:\n  retain: 7d #!\ntopics:\n", "unknown key 'retain'", "use one of: "),
    "unknown key of a topic": (
        "    events: [order_placed]\n",
        "    events: [order_placed]\n    colour: red #!\n",
        "unknown key 'colour'",
        "use one of: ",
    ),
    "unknown key of a service": (TILL, "    writes: [orders] #!\n", "unknown key 'writes'", "use one of: consumes, "),
    "unknown key of an operator": (ROOT, ROOT + "    power: 1 #!\n", "unknown key 'power'", "use one of: superuser, "),
    "no prefix": (
        OWNS,
        "    owns: _con* #!\n",
        "no topic's name begins with '_con*'",
        "write the beginning of the names",
    ),
    "an empty prefix": (OWNS, "    owns: #!\n", "no topic's name begins with ''", "write the beginning of the names"),
    "a prefix over a topic": (
        FEEDS,
        FEEDS + "    owns: ord #!\n",
        "'agent' may use every topic and group that begins with 'ord': 'orders' too",
        "choose a longer prefix",
    ),
    "a prefix over a group": (
        FEEDS,
        FEEDS + "    owns: till. #!\n",
        "'agent' may use every topic and group that begins with 'till.': 'till.orders' too",
        "choose a longer prefix",
    ),
    "a prefix over another operator's groups": (
        FEEDS,
        FEEDS + "    owns: aud #!\n",
        "'agent' may use every topic and group that begins with 'aud': 'auditor' too",
        "choose a longer prefix",
    ),
    "a prefix within another": (
        OWNS + "  agent:\n",
        "    owns: _mon #!\n  agent:\n    owns: _mon-x\n",
        "'monitor' may use every topic and group that begins with '_mon': '_mon-x' too",
        "choose a longer prefix",
    ),
    "feeding a topic of the shop": (
        FEEDS,
        "    feeds: [orders] #!\n",
        "'orders' is a topic of the shop",
        "let a service produce it",
    ),
    "feeding a topic that nobody owns": (
        FEEDS,
        "    feeds: [metrics] #!\n",
        "nobody owns topic 'metrics'",
        "let an operator own the beginning of its name",
    ),
    "declared twice": (
        "    partitions: 2\n    events: [order_placed]\n",
        "    partitions: 2\n    partitions: 3 #!\n    events: [order_placed]\n",
        "'partitions' is declared twice",
        "remove one (the first is on line 4)",
    ),
    "a section is missing": (
        SOUND[SOUND.index("operators:") :],
        "",
        "'operators' is missing or empty",
        "add it",
    ),
    "a section is empty": (
        SOUND[SOUND.index("operators:") :],
        "operators: #!\n",
        "'operators' is missing or empty",
        "add it",
    ),
    "no mapping": (SHOP, "    options: [1] #!\n" + SHOP, "'options' is not a mapping", "indent its entries below it"),
    "a text is missing": ("dead_letters: dead\n", "", "'dead_letters' is missing", "add it"),
    "no text": (TILL, "    group: [a] #!\n", "'group' is not a text", "write a text"),
    "no number": (
        "    partitions: 1\n",
        "    partitions: many #!\n",
        "'partitions' is 'many'",
        "write a whole number above 0",
    ),
    "zero": ("    partitions: 1\n", "    partitions: 0 #!\n", "'partitions' is '0'", "write a whole number above 0"),
    "a list for a number": (
        "    partitions: 1\n",
        "    partitions: [1] #!\n",
        "'partitions' is not a whole number above 0",
        "write a whole number above 0",
    ),
    "no flag": (ROOT, "    superuser: sure #!\n", "'superuser' is 'sure'", "write true or false"),
    "no list": (
        "    consumes: [orders]\n",
        "    consumes: orders #!\n",
        "'consumes' is not a list of names",
        "write it as [a, b]",
    ),
    "listed twice": (
        "    consumes: [orders]\n",
        "    consumes: [orders, orders] #!\n",
        "'orders' stands twice in 'consumes'",
        "remove one",
    ),
    "an option of no simple type": (
        TILL,
        "    options:\n      rates: [1] #!\n",
        "'rates' is not a number, a text, true or false",
        "write one of these",
    ),
    "a name that Kafka refuses": (
        "  dead:\n",
        "  dead letters: #!\n    sink: true\n  dead:\n",
        "Kafka refuses the name 'dead letters'",
        "use 1 to 249 of the letters",
    ),
    "a name of a dot": (
        "  dead:\n",
        "  ..: #!\n    sink: true\n  dead:\n",
        "Kafka refuses the name '..'",
        "use 1 to 249",
    ),
    "a name that is too long": (
        "  dead:\n",
        f"  {'d' * 250}: #!\n    sink: true\n  dead:\n",
        "Kafka refuses the name 'ddd",
        "use 1 to 249",
    ),
    "names that collide": (
        "  dead:\n",
        "  a.b:\n    sink: true\n  a_b: #!\n    sink: true\n  dead:\n",
        "'a.b' and 'a_b' are the same to Kafka's metrics (a_b)",
        "rename one: '.' and '_' are not told apart there",
    ),
    "more replicas in sync than there are": (
        "    partitions: 1\n",
        "    partitions: 1\n    replication: 1\n    min_insync_replicas: 2 #!\n",
        "topic 'progress' wants 2 replicas in sync and has 1: nothing could be written",
        "lower min_insync_replicas or raise replication",
    ),
    "retention of a compacted topic": (
        "    partitions: 1\n",
        "    partitions: 1\n    retention: 7d #!\n",
        "topic 'progress' is compacted, so retention has no effect",
        "remove one of the two",
    ),
    "no duration": (
        "  dead:\n",
        "  dead:\n    retention: a week #!\n",
        "'a week' is no duration",
        "write a number and m, h or d (like 7d), or `forever`",
    ),
    "a group that consumes nothing": (
        SHOP,
        SHOP + "    group: shoppers #!\n",
        "service 'shop' has a consumer group and consumes nothing",
        "remove the group",
    ),
    "unknown dead letters": (
        "dead_letters: dead\n",
        "dead_letters: lost #!\n",
        "unknown topic 'lost'",
        "declare it under topics, or use one of: orders, payments, dead, memory, progress",
    ),
    "unknown consumed": (
        "    consumes: [orders]\n",
        "    consumes: [ordres] #!\n",
        "unknown topic 'ordres'",
        "declare it",
    ),
    "unknown produced": (
        "    produces: [payments]\n",
        "    produces: [payment] #!\n",
        "unknown topic 'payment'",
        "declare it",
    ),
    "unknown state": ("    state: memory\n", "    state: brain #!\n", "unknown topic 'brain'", "declare it"),
    "unknown progress": ("    progress: progress\n", "    progress: bar #!\n", "unknown topic 'bar'", "declare it"),
    "unknown read": (ROOT, ROOT + "  eve:\n    reads: [secrets] #!\n", "unknown topic 'secrets'", "declare it"),
    "a user twice": (
        ROOT,
        ROOT + "  till: #!\n    superuser: true\n",
        "'till' is both a service and an operator",
        "rename one: each is a user",
    ),
    "a shared group": (
        TILL,
        TILL + "  bank:\n    consumes: [orders]\n    group: till #!\n",
        "services till and bank share the group 'till': each would miss records",
        "give each a group of its own",
    ),
    "transactional ids that overlap": (
        TILL,
        TILL + "  till-east: #!\n    consumes: [orders]\n",
        "'till' may use every transactional id that begins with 'till-': those of 'till-east' too",
        "rename one",
    ),
    "no superuser": (
        "operators:\n  root:\n    superuser: true\n",
        "operators: #!\n",
        "no operator is a superuser",
        "give one `superuser: true`: it applies this file",
    ),
    "no auditor": (
        SOUND[SOUND.index("operators:") :],
        "operators: #!\n  root:\n    superuser: true\n  auditor:\n    reads: all\n",
        "no operator can audit",
        "give one `reads: all` and `watches_groups: true`",
    ),
    "an auditor that does not read everything": (
        SOUND[SOUND.index("operators:") :],
        "operators: #!\n  root:\n    superuser: true\n  auditor:\n    reads: [orders]\n    watches_groups: true\n",
        "no operator can audit",
        "give one `reads: all` and `watches_groups: true`",
    ),
    "nobody produces": (
        "  dead:\n",
        "  idle: #!\n    sink: true\n  dead:\n",
        "nobody produces topic 'idle'",
        "name it in a service, or remove it",
    ),
    "nobody reads": (
        "  payments:\n    partitions: 2\n    events: [payment_approved]\n    sink: true\n",
        "  payments: #!\n    partitions: 2\n    events: [payment_approved]\n",
        "nobody reads topic 'payments'",
        "let a service consume it, or say `sink: true`, or remove it",
    ),
    "no events": (
        "  orders:\n    partitions: 2\n    events: [order_placed]\n",
        "  orders: #!\n    partitions: 2\n",
        "topic 'orders' declares no events",
        "list the event types that stand on it",
    ),
    "events that nobody produces": (
        "  dead:\n",
        "  dead:\n    events: [order_shipped] #!\n",
        "no service produces the events of 'dead'",
        "remove them",
    ),
    "an event on two topics": (
        "    events: [payment_approved]\n",
        "    events: [payment_approved, order_placed] #!\n",
        "event 'order_placed' is on 'orders' already",
        "an event belongs on one topic",
    ),
    "a join of different partition counts": (
        "  memory:\n    partitions: 2\n",
        "  memory:\n    partitions: 3\n",
        "'till' joins topics with different partition counts: orders has 2, memory has 3",
        "give them the same `partitions`, or the two halves of an order land in different instances",
    ),
    "a changelog that is not compacted": (
        "  memory:\n    partitions: 2\n    compacted: true\n",
        "  memory:\n    partitions: 2\n",
        "the changelog 'memory' is not compacted",
        "say `compacted: true` there",
    ),
    "two sources": (
        TILL,
        TILL + "    progress: progress\n",
        "2 services have a progress topic",
        "give it to exactly one: the source of the orders",
    ),
    "a service that nothing starts": (
        TILL,
        TILL + "  ghost: #!\n    produces: [payments]\n",
        "service 'ghost' neither consumes nor has a progress topic",
        "nothing would start it",
    ),
    "progress in several partitions": (
        "    partitions: 1\n",
        "    partitions: 2\n",
        "the progress topic 'progress' must be compacted and have one partition",
        "say `compacted: true` and `partitions: 1` there",
    ),
    "progress that is not compacted": (
        "    partitions: 1\n    compacted: true\n",
        "    partitions: 1\n",
        "the progress topic 'progress' must be compacted and have one partition",
        "say `compacted: true` and `partitions: 1` there",
    ),
}
# The lines of problems that stand elsewhere than the edit.
ELSEWHERE = {
    "not YAML": "topics:",
    "a join of different partition counts": "    state: memory",
    "a changelog that is not compacted": "    state: memory",
    "two sources": "services:",
    "progress in several partitions": "    progress: progress",
    "progress that is not compacted": "    progress: progress",
}


class TestRules:
    def test_the_sound_topology_is_sound(self):
        assert list(parse(SOUND).topics) == ["orders", "payments", "dead", "memory", "progress"]

    @pytest.mark.parametrize("rule", RULES)
    def test_a_broken_rule_names_its_line_and_the_remedy(self, rule):
        old, new, problem, remedy = RULES[rule]
        text, line = edited(old, new)
        if rule in ELSEWHERE:
            line = text.splitlines().index(ELSEWHERE[rule]) + 1
        with pytest.raises(TopologyError) as caught:
            parse(text, "my.yaml")
        (complaint,) = str(caught.value).splitlines()
        assert complaint.startswith(f"my.yaml:{line}: {problem}")
        assert f": {remedy}" in complaint

    @pytest.mark.parametrize("text", ["", "- orders", "orders", "7", "# nothing"])
    def test_a_file_without_a_mapping(self, text):
        with pytest.raises(TopologyError, match=r"my.yaml:1: the file holds no mapping: begin with `topics:`"):
            parse(text, "my.yaml")

    def test_all_problems_are_told_at_once_in_the_order_of_the_lines(self):
        text = SOUND.replace("partitions: 1", "partitions: x").replace("superuser: true", "superuser: x")
        with pytest.raises(TopologyError) as caught:
            parse(text + "extra: 1\n")
        lines = [int(complaint.split(":")[1]) for complaint in str(caught.value).splitlines()]
        assert len(lines) == 3
        assert lines == sorted(lines)

    def test_a_file_that_cannot_be_read(self, tmp_path):
        (tmp_path / "latin.yaml").write_bytes(b"topics: \xff")
        for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
            with pytest.raises(TopologyError, match=f"{path.name}: cannot be read"):
                load(path)

    def test_it_is_the_user_s_error(self):
        assert issubclass(TopologyError, UsageError)


class TestTopics:
    def test_defaults_hold_where_a_topic_says_nothing_else(self):
        topics = parse("defaults: {partitions: 2, replication: 5, retention: 36h}\n" + SOUND).topics
        assert (topics["dead"].partitions, topics["progress"].partitions) == (2, 1)
        assert {topic.replication for topic in topics.values()} == {5}
        assert topics["dead"].config == {
            "cleanup.policy": "delete",
            "max.message.bytes": "1048576",
            "min.insync.replicas": "2",
            "retention.ms": "129600000",
        }
        assert topics["memory"].config == {
            "cleanup.policy": "compact",
            "delete.retention.ms": "600000",
            "max.message.bytes": "1048576",
            "min.cleanable.dirty.ratio": "0.1",
            "min.insync.replicas": "2",
            "segment.bytes": "16777216",
        }

    @pytest.mark.parametrize(
        ("duration", "milliseconds"), [("5m", "300000"), ("2h", "7200000"), ("30d", "2592000000"), ("forever", "-1")]
    )
    def test_retention_in_kafka_s_milliseconds(self, duration, milliseconds):
        topology = parse(SOUND.replace("  dead:\n", f"  dead:\n    retention: {duration}\n"))
        assert topology.topics["dead"].config["retention.ms"] == milliseconds

    def test_options_have_yaml_s_types(self):
        options = "{seed: 7, rate: 0.5, name: x, on: true}"
        assert parse(SOUND.replace("{seed: 0}", options)).services["till"].options == {
            "seed": 7,
            "rate": 0.5,
            "name": "x",
            "on": True,
        }


class TestRights:
    """Against the sound topology, where every single right is spelt out."""

    acls = parse(SOUND).acls()

    def of(self, user):
        return {(acl.resource, acl.name, acl.pattern, acl.operation) for acl in self.acls if acl.user == user}

    def test_a_source_writes_its_topic_and_keeps_its_progress_and_is_in_no_group(self):
        assert self.of("shop") == {
            ("topic", "orders", "literal", "write"),
            ("topic", "progress", "literal", "read"),
            ("topic", "progress", "literal", "write"),
            ("transactional_id", "shop-", "prefixed", "describe"),
            ("transactional_id", "shop-", "prefixed", "write"),
        }

    def test_a_processor_reads_its_input_writes_its_output_and_keeps_its_state(self):
        assert self.of("till") == {
            ("topic", "orders", "literal", "read"),
            ("topic", "payments", "literal", "write"),
            ("topic", "memory", "literal", "read"),
            ("topic", "memory", "literal", "write"),
            ("topic", "dead", "literal", "write"),
            ("group", "till", "literal", "read"),
            ("group", "till.orders", "literal", "read"),
            ("cluster", "kafka-cluster", "literal", "describe_configs"),
            ("transactional_id", "till-", "prefixed", "describe"),
            ("transactional_id", "till-", "prefixed", "write"),
        }

    def test_an_auditor_reads_everything_writes_nothing_and_sees_the_services_groups(self):
        assert self.of("auditor") == {
            *(("topic", name, "literal", "read") for name in ("orders", "payments", "dead", "memory", "progress")),
            ("group", "auditor", "prefixed", "read"),
            ("group", "till", "literal", "describe"),
            ("group", "till.orders", "literal", "describe"),
        }

    def test_an_owner_makes_what_begins_with_its_prefix_and_inspects_what_it_reads(self):
        assert self.of("monitor") == {
            *(
                ("topic", "_mon", "prefixed", operation)
                for operation in ("create", "delete", "describe_configs", "read", "write")
            ),
            ("group", "_mon", "prefixed", "read"),
            ("topic", "orders", "literal", "read"),
            ("topic", "orders", "literal", "describe_configs"),
            ("cluster", "kafka-cluster", "literal", "describe"),
            ("cluster", "kafka-cluster", "literal", "describe_configs"),
        }

    def test_a_feeder_writes_and_makes_its_one_topic(self):
        assert self.of("agent") == {
            ("topic", "_mon-metrics", "literal", "create"),
            ("topic", "_mon-metrics", "literal", "write"),
        }

    def test_an_owner_is_not_the_auditor(self):
        owner = "  audience:\n    reads: all\n    watches_groups: true\n    owns: _aud\n"
        text = SOUND.replace("operators:\n", f"operators:\n{owner}")
        assert parse(text).user_of("auditor") == "auditor"

    def test_a_superuser_needs_none(self):
        assert self.of("root") == set()

    def test_there_are_no_others_and_none_twice(self):
        assert {acl.user for acl in self.acls} == {"shop", "till", "auditor", "monitor", "agent"}
        assert len(set(self.acls)) == len(self.acls)
        assert all(isinstance(acl, Acl) for acl in self.acls)

    def test_another_group_s_name_is_what_the_right_is_for(self):
        acls = parse(SOUND.replace(TILL, "    group: cashiers\n")).acls()
        assert {(acl.user, acl.name) for acl in acls if acl.resource == "group" and acl.pattern == "literal"} == {
            *(("till", group) for group in ("cashiers", "till.orders")),
            *(("auditor", group) for group in ("cashiers", "till.orders")),
        }


class TestTheShop:
    """The topology that the project ships, against its own text read by other means."""

    topology = load()
    text = yaml.safe_load(default_path().read_text(encoding="utf-8"))

    def test_it_is_the_file_at_the_root_of_the_checkout(self):
        assert default_path().read_bytes() == (Path(__file__).parent.parent / "topology.yaml").read_bytes()

    def test_every_event_of_the_contract_stands_on_one_topic(self):
        assert self.topology.topic_of.keys() == EVENT_TYPES.keys()

    def test_each_user_may_do_just_what_the_file_declares(self):
        for user, declared in self.text["services"].items():
            own = [declared[key] for key in ("state", "progress") if key in declared]
            dead_letters = [self.text["dead_letters"]] if declared.get("consumes") else []
            found = {
                (acl.operation, acl.name)
                for acl in self.topology.acls()
                if acl.user == user and acl.resource == "topic"
            }
            assert found == {
                *(("read", topic) for topic in declared.get("consumes", []) + own),
                *(("write", topic) for topic in declared["produces"] + own + dead_letters),
            }
        for user, declared in self.text["operators"].items():
            found = {
                (acl.operation, acl.name)
                for acl in self.topology.acls()
                if acl.user == user and acl.resource == "topic"
            }
            owned = ("create", "delete", "describe_configs", "read", "write") if "owns" in declared else ()
            read = ("read", "describe_configs") if declared.get("inspects") else ("read",)
            assert found == {
                *((operation, topic) for operation in read for topic in self.text["topics"] if declared.get("reads")),
                *((operation, declared["owns"]) for operation in owned),
                *((operation, topic) for operation in ("create", "write") for topic in declared.get("feeds", ())),
            }

    def test_no_one_but_a_topic_s_owner_writes_to_it(self):
        for topic in self.topology.topics:
            writers = {acl.user for acl in self.topology.acls() if (acl.name, acl.operation) == (topic, "write")}
            consumers = {service.name for service in self.topology.processors}
            assert len(writers) == 1 or (topic == self.topology.dead_letters and writers == consumers)

    def test_no_right_is_wider_than_a_name_or_a_user_s_own_prefix(self):
        prefixes = {name: declared["owns"] for name, declared in self.text["operators"].items() if "owns" in declared}
        for acl in self.topology.acls():
            if acl.resource == "cluster":
                inspects = self.text["operators"].get(acl.user, {}).get("inspects")
                assert acl.name == "kafka-cluster"
                assert acl.operation == "describe_configs" or (inspects and acl.operation == "describe")
                continue
            assert acl.resource in {"topic", "group", "transactional_id"}
            assert "*" not in acl.name
            if acl.user in prefixes and acl.pattern == "prefixed":
                assert acl.name == prefixes[acl.user]
                continue
            declared = self.text["operators"].get(acl.user, {})
            more = {"create"} if "feeds" in declared else {"describe_configs"} if declared.get("inspects") else set()
            assert acl.operation in {"read", "write", "describe"} | more
            assert acl.pattern == "literal" or acl.name.removesuffix("-") == acl.user

    def test_a_transactional_id_is_the_same_after_a_restart_and_lies_within_its_right(self):
        service = self.topology.services["payment_processor"]
        assert service.transactional_id(1) == service.transactional_id(1) != service.transactional_id(0)
        assert service.transactional_id(0).startswith(service.transactional_id_prefix)

    def test_users_groups_and_roles(self):
        topology = self.topology
        assert topology.users == (*self.text["services"], *self.text["operators"])
        groups = {
            group
            for name, declared in self.text["services"].items()
            for group in (name, *(f"{name}.{topic}" for topic in declared.get("consumes", [])))
        }
        assert sorted(topology.groups) == sorted(groups - {"order_generator"})
        assert topology.superusers == ("admin",)
        assert topology.source.name == "order_generator"
        assert len(topology.processors) == 4
        assert (topology.user_of("admin"), topology.user_of("auditor")) == ("admin", "auditor")

    def test_dead_letters_may_be_larger_than_any_input(self):
        sizes = {name: int(topic.config["max.message.bytes"]) for name, topic in self.topology.topics.items()}
        assert sizes.pop(self.topology.dead_letters) > max(sizes.values())
