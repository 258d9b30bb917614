"""Security groups decide as EC2's do: both ends must allow, references mean members, and what is missing is named."""

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.firewall import Operator, Service, blocked_in, explain, ruleset, site_of
from shopstream.rehearsal.firewall.judging import common, merged
from shopstream.rehearsal.firewall.reading import function_groups

GATEWAY = IPv4Address("10.20.0.1")
OPERATOR = Operator(here=(GATEWAY,), seen_as=IPv4Address("203.0.113.7"))
SUPPLIES = Service("supplies", GATEWAY, 80, internet=True, as_port=80)
TABLES = Service("tables", GATEWAY, 5001, aws=frozenset({"dynamodb"}))
SECRETS = Service("secrets", GATEWAY, 5002, aws=frozenset({"secretsmanager"}))
CONTROL = Service("control", GATEWAY, 5000, unguarded=True)


def instance(name, private, public, *groups, state="running"):
    return {
        "InstanceId": f"i-{name}",
        "State": {"Name": state},
        "PrivateIpAddress": private,
        **({"PublicIpAddress": public} if public else {}),
        "SecurityGroups": [{"GroupId": each} for each in groups],
        "Tags": [{"Key": "Name", "Value": name}],
    }


def rule(group, *, port=None, egress=False, protocol="tcp", about="", **other):
    first, last = port if isinstance(port, tuple) else (port, port)
    name = [group.removeprefix("sg-"), "out" if egress else "in", str(port), *map(str, other.values())]
    return {
        "SecurityGroupRuleId": "-".join(["sgr", *name]),
        "GroupId": group,
        "IsEgress": egress,
        "IpProtocol": protocol,
        "FromPort": -1 if port is None else first,
        "ToPort": -1 if port is None else last,
        "Description": about,
        **({"CidrIpv4": other["cidr"]} if "cidr" in other else {}),
        **({"ReferencedGroupInfo": {"GroupId": other["of"]}} if "of" in other else {}),
        **({"PrefixListId": other["prefixes"]} if "prefixes" in other else {}),
    }


# As infra/terraform has them, as far as the tests need them.
RULES = [
    rule("sg-ssh", port=22, cidr="203.0.113.7/32", about="SSH from the administrator network"),
    rule("sg-kafka", port=9092, of="sg-kafka"),
    rule("sg-kafka", port=9094, of="sg-lambdas", about="functions and their pollers"),
    rule("sg-zookeeper", port=2182, of="sg-kafka"),
    rule("sg-endpoints", port=443, of="sg-lambdas"),
    rule("sg-hosts", port=80, egress=True, cidr="0.0.0.0/0"),
    rule("sg-hosts", port=443, egress=True, cidr="0.0.0.0/0"),
    rule("sg-hosts", port=(1, 65535), egress=True, cidr="10.20.0.0/16"),
    rule("sg-lambdas", port=9094, egress=True, of="sg-kafka"),
    rule("sg-lambdas", port=443, egress=True, prefixes="pl-dynamodb"),
    rule("sg-lambdas", port=443, egress=True, of="sg-endpoints"),
]
FUNCTIONS = [{"VpcConfig": {"SecurityGroupIds": ["sg-lambdas"]}}]


def site(rules=RULES, functions=FUNCTIONS, operator=OPERATOR, services=(SUPPLIES, TABLES, SECRETS, CONTROL)):
    return site_of(
        groups=[
            {"GroupId": f"sg-{name}", "GroupName": f"shop-{name}"} for name in ("kafka", "lambdas", "ssh", "hosts")
        ],
        rules=rules,
        reservations=[
            {
                "Instances": [
                    instance("kafka1", "10.20.0.21", "198.51.100.21", "sg-ssh", "sg-hosts", "sg-kafka"),
                    instance("kafka2", "10.20.16.22", "198.51.100.22", "sg-ssh", "sg-hosts", "sg-kafka"),
                    instance("old", "10.20.0.21", None, "sg-ssh", state="terminated"),
                ]
            },
            {"Instances": [instance("zookeeper1", "10.20.0.11", None, "sg-ssh", "sg-hosts", "sg-zookeeper")]},
        ],
        endpoints=[
            {"ServiceName": "com.amazonaws.us-east-1.dynamodb", "VpcEndpointType": "Gateway", "State": "available"},
            {
                "ServiceName": "com.amazonaws.us-east-1.secretsmanager",
                "VpcEndpointType": "Interface",
                "Groups": [{"GroupId": "sg-endpoints"}],
                "NetworkInterfaceIds": ["eni-1"],
            },
        ],
        interfaces=[{"NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.20.128.9"}],
        prefix_lists=[{"PrefixListId": "pl-dynamodb", "PrefixListName": "com.amazonaws.us-east-1.dynamodb"}],
        functions=functions,
        lambdas=IPv4Address("10.20.128.100"),
        operator=operator,
        services=services,
    )


def without(*ids):
    """The rules but those whose id begins so; each must be one."""
    for each in ids:
        assert any(made["SecurityGroupRuleId"].startswith(each) for made in RULES)
    return [made for made in RULES if not made["SecurityGroupRuleId"].startswith(ids)]


@pytest.mark.parametrize(
    ("source", "destination", "port", "allowed"),
    [
        ("lambdas", "kafka1", 9094, True),
        ("lambdas", "kafka1", 9092, False),
        ("lambdas", "zookeeper1", 2182, False),
        ("kafka1", "kafka2", 9092, True),
        ("kafka1", "kafka2", 9094, False),
        ("kafka1", "zookeeper1", 2182, True),
        ("zookeeper1", "kafka1", 9092, False),
        ("operator", "kafka1", 22, True),
        ("operator", "kafka1", 9094, False),
        ("operator", "zookeeper1", 22, False),  # it has no public address
        ("kafka1", "supplies", 80, True),
        ("lambdas", "supplies", 80, False),
        ("lambdas", "tables", 5001, True),
        ("lambdas", "secrets", 5002, True),
        ("lambdas", "control", 5000, True),
        ("kafka1", "10.20.0.1", 9999, False),  # nothing there stands in for anything
        ("kafka1", "10.20.0.1", 80, True),
        ("kafka1", "8.8.8.8", 443, True),
        ("kafka1", "8.8.8.8", 25, False),
        ("lambdas", "8.8.8.8", 443, False),
    ],
)
def test_a_connection_passes_when_both_ends_allow_it(source, destination, port, allowed):
    decision = explain(site(), source, destination, port)
    assert decision.allowed == allowed, decision.why
    assert bool(decision.missing) != allowed


def test_the_rule_that_lets_it_through_is_named_with_its_description():
    decision = explain(site(), "lambdas", "kafka1", 9094)
    assert decision.rules == ("sgr-lambdas-out-9094-sg-kafka", "sgr-kafka-in-9094-sg-lambdas")
    assert "functions and their pollers" in decision.why


@pytest.mark.parametrize(
    ("missing", "rules", "words"),
    [
        ("ingress", without("sgr-kafka-in-9094"), "no ingress rule of kafka1 (in"),
        ("egress", without("sgr-lambdas-out-9094"), "no egress rule of lambdas (in shop-lambdas) allows tcp 9094"),
    ],
)
def test_the_missing_rule_is_told(missing, rules, words):
    decision = explain(site(rules), "lambdas", "kafka1", 9094)
    assert (decision.allowed, decision.missing) == (False, missing)
    assert words in decision.why


def test_rules_that_name_a_group_do_not_count_through_public_addresses():
    assert not explain(site(), "kafka1", "198.51.100.22", 9092).allowed
    anywhere = [*RULES, rule("sg-kafka", port=443, cidr="198.51.100.21/32")]
    assert explain(site(anywhere), "kafka1", "kafka2", 443, public=True).allowed
    assert not explain(site(anywhere), "kafka1", "kafka2", 443).allowed


def test_services_of_aws_are_reached_through_their_endpoints():
    assert not explain(site(without("sgr-lambdas-out-443-pl")), "lambdas", "tables", 5001).allowed
    assert explain(site(without("sgr-lambdas-out-443-pl")), "lambdas", "secrets", 5002).allowed
    refused = explain(site(without("sgr-endpoints")), "lambdas", "secrets", 5002)
    assert refused.missing == "ingress"
    assert "endpoint of secretsmanager" in refused.why


def test_functions_with_different_groups_must_all_be_allowed():
    both = [*FUNCTIONS, {"VpcConfig": {"SecurityGroupIds": ["sg-other"]}}]
    refused = explain(site(functions=both), "lambdas", "kafka1", 9094)
    assert not refused.allowed
    assert "sg-other" in refused.why


def test_the_pollers_groups_are_those_of_the_mappings():
    access = [
        {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
        {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-pollers"},
    ]
    found = function_groups(FUNCTIONS, [{"SourceAccessConfigurations": access}])
    assert found == (frozenset({"sg-lambdas"}), frozenset({"sg-pollers"}))


def test_protocols_and_all_ports():
    everything = [*RULES, rule("sg-zookeeper", protocol="-1", of="sg-kafka")]
    assert explain(site(everything), "kafka1", "zookeeper1", 7, protocol="tcp").allowed
    assert not explain(site(everything), "kafka1", "zookeeper1", 7, protocol="udp").allowed  # no egress rule
    by_number = [*everything, rule("sg-hosts", protocol="17", port=7, egress=True, cidr="10.20.0.0/16")]
    assert explain(site(by_number), "kafka1", "zookeeper1", 7, protocol="udp").allowed


def test_a_name_that_is_nobodys_is_refused():
    with pytest.raises(UsageError, match=r"nobody is called 'kafka9'; there are: operator, kafka1"):
        explain(site(), "kafka9", "kafka1", 22)
    with pytest.raises(UsageError, match="or give an address"):
        explain(site(), "kafka1", "kafka9", 22)


def test_a_rule_of_an_unknown_kind_is_refused_and_one_for_ipv6_left_out():
    odd = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1", "IsEgress": True, "IpProtocol": "tcp"}
    with pytest.raises(RehearsalError, match="sgr-1 has no other side"):
        site([odd])
    assert site([{**odd, "CidrIpv6": "::/0"}]).rules == ()


def test_ranges_of_ports():
    assert merged([(5, 9), (1, 3), (4, 4), (20, 30), (25, 27)]) == ((1, 9), (20, 30))
    assert common(((1, 9), (20, 30)), ((5, 22), (30, 40))) == ((5, 9), (20, 22), (30, 30))


def test_the_script_names_ports_and_ends_with_a_drop():
    text = ruleset(site())
    assert 'ip saddr { 10.20.128.100 } ip daddr 10.20.0.21 tcp dport { 9094 } accept comment "lambdas"' in text
    assert 'ip saddr { 10.20.0.1 } ip daddr 198.51.100.21 tcp dport { 22 } accept comment "operator"' in text
    assert "ip daddr 10.20.0.21 tcp dport { 22 }" not in text
    assert text.index("accept") < text.index('counter drop comment "no security group rule allows it"')
    assert _senders(text, 5001) == "kafka1, kafka2, zookeeper1, lambdas"
    assert _senders(ruleset(site(without("sgr-lambdas-out-443-pl"))), 5001) == "kafka1, kafka2, zookeeper1"


def _senders(text, port):
    (line,) = (line for line in text.splitlines() if f"dport {{ {port} }} accept" in line)
    return line.split('"')[1]


def test_what_was_blocked_is_read_from_the_listing():
    element = {"val": {"concat": ["10.20.128.100", "10.20.0.21", "tcp", 9092]}, "counter": {"packets": 3, "bytes": 180}}
    listing = {"nftables": [{"metainfo": {}}, {"set": {"name": "blocked", "elem": [{"elem": element}]}}]}
    (found,) = blocked_in(json.dumps(listing), site())
    assert (found.source, found.destination, found.protocol, found.port, found.packets) == (
        "lambdas",
        "kafka1",
        "tcp",
        9092,
        3,
    )
    assert blocked_in('{"nftables": [{"set": {"name": "blocked"}}]}') == []
    with pytest.raises(RehearsalError, match="no listing"):
        blocked_in("nothing")


def test_prefix_lists_with_known_ranges_mean_their_addresses():
    made = site()
    known = {"pl-office": (IPv4Network("203.0.113.0/24"),)}
    with_list = [*RULES, rule("sg-ssh", port=8080, prefixes="pl-office")]
    read = site(with_list)
    assert not explain(read, "operator", "kafka1", 8080).allowed
    assert explain(type(made)(**{**vars(read), "prefix_lists": known}), "operator", "kafka1", 8080).allowed
