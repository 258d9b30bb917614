"""An estimate adds up what stands and what orders use: for a run, an hour, a month, a million orders."""

import pytest

from shopstream import topology
from shopstream.cost.choices import CHANGES, POLLERS, choices
from shopstream.cost.estimate import DEFAULT_HOURS, DEFAULT_ORDERS, Amounts, estimate
from shopstream.cost.plan import Plan, Resource, default_plan
from shopstream.cost.prices import price_table
from shopstream.cost.standing import Unpriced, standing

TOPOLOGY = topology.load()
TABLE = price_table()
MONTH = 730
IDLE = 0.33414873  # USD an hour; computed by hand in test_cost_standing.py


def estimated(plan=None, **more):
    return estimate(plan or default_plan(), TOPOLOGY, TABLE, **more)


def plan_of(*resources):
    return Plan(tuple(resources))


class TestEstimate:
    def test_an_idle_hour_and_month_are_what_stands(self):
        total = estimated().total
        assert total.hour == pytest.approx(IDLE, abs=1e-8)
        assert total.month == pytest.approx(MONTH * IDLE, abs=1e-4)

    def test_a_run_without_orders_is_its_hours(self):
        found = estimated(hours=3, orders=0)
        assert found.total.run == pytest.approx(3 * IDLE, abs=1e-7)
        assert found.run_use == ()

    def test_a_run_with_orders_adds_the_metrics_and_what_they_use(self):
        """5,000 orders in 3 h are 0.23 records in half a second on a topic that has one for each order."""
        found = estimated(hours=3, orders=5000)
        half = 5000 / 10800 / 2
        assert found.amounts("CloudWatch metrics") == pytest.approx((0, 3 * 30 * 0.3 / MONTH, 0, 0, 0))
        records = {1.0: 2, 0.28: 3, 1.18: 1, 1.08: 2, 0.72: 1}  # for each order on a topic, and how often it is read
        invocations = 500 + sum(5000 * each * times / (1 + each * half) for each, times in records.items())
        requests = next(each for each in found.run_use if each.what == "request")
        assert requests.quantity == pytest.approx(invocations)
        used = sum(each.usd for each in found.run_use)
        assert found.total.run == pytest.approx(3 * IDLE + 3 * 30 * 0.3 / MONTH + used, abs=1e-7)
        assert 0.04 < used < 0.05

    def test_logs_and_items_of_a_run_are_kept_for_its_time(self):
        kept = {each.what: each for each in estimated(hours=3, orders=5000).run_use if "kept" in each.what}
        items = next(each for each in estimated(hours=3, orders=5000).run_use if each.price.key == "dynamodb storage")
        assert kept
        assert items.quantity == pytest.approx(5000 * 1402 / 1e9 * 3)

    def test_started_hours_of_gateways_and_endpoints_count_whole(self):
        subnets = [Resource("aws_subnet", "private", n) for n in range(2)]
        endpoint = Resource("aws_vpc_endpoint", "e", None, {"vpc_endpoint_type": "Interface"})
        found = estimated(plan_of(Resource("aws_nat_gateway", "n"), endpoint, *subnets), hours=2.25, orders=0)
        assert found.total.run == pytest.approx(3 * (0.045 + 2 * 0.01))
        host = Resource("aws_instance", "h", None, {"instance_type": "t3.large", "associate_public_ip_address": True})
        assert estimated(plan_of(host), hours=2.25, orders=0).total.run == pytest.approx(2.25 * (0.0832 + 0.005))

    def test_a_million_orders_do_not_contain_what_stands(self):
        total = estimated().total
        assert total.million_full == pytest.approx(3.4489, abs=1e-4)
        assert total.million_single == pytest.approx(10.4679, abs=1e-4)
        longer = estimated(hours=100, orders=1).total
        assert (longer.million_full, longer.million_single) == (total.million_full, total.million_single)

    def test_while_the_hosts_are_stopped_the_rest_goes_on(self):
        found = estimated()
        hosts = 6 * 0.0116 + 0.0832 + 0.0208 + 8 * 0.005
        assert found.stopped_hour == pytest.approx(found.total.hour - hosts)

    def test_sums_of_services_are_the_total(self):
        found = estimated()
        columns = zip(*(found.amounts(service) for service in found.services), strict=True)
        assert [sum(column) for column in columns] == pytest.approx(list(found.total))
        assert found.services == (
            "EC2", "EBS", "public IPv4", "interface endpoints", "Lambda", "DynamoDB", "Secrets Manager",
            "CloudWatch logs", "CloudWatch metrics", "CloudWatch alarms", "CloudWatch dashboards", "S3",
            "data between zones",
        )  # fmt: skip

    def test_what_has_no_price_is_named(self):
        found = estimated(plan_of(Resource("aws_lb", "a"), Resource("aws_lb", "b")))
        assert found.unpriced == (Unpriced("aws_lb", 2),)
        assert found.total.run == 0
        assert set(found.uncounted) == set(TOPOLOGY.services)

    def test_the_defaults(self):
        assert (DEFAULT_HOURS, DEFAULT_ORDERS) == (3, 5000)
        found = estimated()
        assert (found.hours, found.orders) == (3, 5000)

    def test_amounts_are_added_and_compared_by_column(self):
        one, other = Amounts(1, 2, 3, 4, 5), Amounts(10, 20, 30, 40, 50)
        assert one.plus(other) == (11, 22, 33, 44, 55)
        assert other.minus(one) == (9, 18, 27, 36, 45)


def offered(plan=None, **more):
    return {choice.name: choice for choice in choices(estimated(plan, **more), TOPOLOGY)}


def changed(name, plan=None):
    """The plan that a choice makes of another."""
    change = next(change for found, _, change in CHANGES if found == name)
    return change(plan or default_plan())


def hourly(plan):
    return standing(plan, TABLE).hourly


class TestChoices:
    def test_each_differs_by_the_hour_by_what_a_hand_computes(self):
        nights = {"hosts stopped overnight, 14 h", "all destroyed overnight, 14 h"}
        disk = 0.08 / MONTH
        assert {name: choice.hour for name, choice in offered().items() if name not in nights} == pytest.approx(
            {
                "t3.micro for t2.micro": 6 * (0.0104 - 0.0116),
                "no Control Center": -(0.0832 + 0.005 + 30 * disk),
                "pollers provisioned": 9 * 0.185,
                "pollers provisioned, one group": 0.185,
                "NAT gateway for endpoints": 0.045 + 0.005 - 9 * 0.01,
                "private hosts, bastion, NAT": 0.0104 + 0.005 + 8 * disk + 0.045 + 0.005 - 9 * 0.01 - 8 * 0.005,
            }
        )

    def test_months_and_runs_follow_from_it_and_from_what_orders_use(self):
        found = offered(hours=3, orders=0)
        for choice in found.values():
            if choice.hour is not None:
                assert choice.month == pytest.approx(MONTH * choice.hour)
                assert choice.run == pytest.approx(3 * choice.hour)
        busy = offered(hours=3, orders=1_000_000)["NAT gateway for endpoints"]
        payload_gb = 6.930767  # of a million orders, computed by hand in test_cost_usage.py
        assert busy.run == pytest.approx(3 * busy.hour + (0.045 - 0.01) * payload_gb)

    def test_a_night_is_14_hours(self):
        found = offered()
        nights = 14 * 365 / 12
        hosts = 6 * 0.0116 + 0.0832 + 0.0208 + 8 * 0.005
        stopped, destroyed = found["hosts stopped overnight, 14 h"], found["all destroyed overnight, 14 h"]
        assert stopped.month == pytest.approx(-nights * hosts)
        assert destroyed.month == pytest.approx(-nights * IDLE, abs=1e-4)
        assert (stopped.hour, stopped.run, destroyed.hour, destroyed.run) == (None, None, None, None)

    def test_each_has_a_way_back(self):
        default = hourly(default_plan())
        for there, back in (
            ("pollers provisioned", "pollers on demand"),
            ("pollers provisioned, one group", "pollers on demand"),
            ("NAT gateway for endpoints", "endpoints for the functions"),
            ("private hosts, bastion, NAT", "public hosts, endpoints"),
        ):
            other = changed(there)
            assert hourly(other) != pytest.approx(default)
            assert hourly(changed(back, other)) == pytest.approx(default)

    def test_only_what_is_not_so_already_is_offered(self):
        nights = {"hosts stopped overnight, 14 h", "all destroyed overnight, 14 h"}
        always = {"no Control Center", *nights}
        assert offered(changed("private hosts, bastion, NAT")).keys() == {
            *always, "t3.micro for t2.micro", "pollers provisioned", "pollers provisioned, one group",
            "endpoints for the functions", "public hosts, endpoints",
        }  # fmt: skip
        grouped = changed("pollers provisioned, one group", changed("t3.micro for t2.micro"))
        assert offered(changed("no Control Center", grouped)).keys() == {
            *nights, "pollers on demand", "NAT gateway for endpoints", "private hosts, bastion, NAT",
        }  # fmt: skip
        assert offered(plan_of(Resource("aws_vpc", "v"))) == {}

    def test_a_bastion_keeps_its_nat_gateway_for_the_hosts_packages(self):
        bastion = changed("private hosts, bastion, NAT")
        more = offered(bastion)["endpoints for the functions"]
        assert more.hour == pytest.approx(9 * 0.01)
        assert not bastion.all("aws_vpc_endpoint", "interface")
        assert [each.values.get("associate_public_ip_address") for each in bastion.all("aws_instance", "host")] == [
            None
        ] * 8

    def test_two_nat_gateways_are_not_made_of_one(self):
        both = default_plan().having([*default_plan().resources, *changed("NAT gateway for endpoints").resources[-2:]])
        assert len(changed("NAT gateway for endpoints", both).all("aws_nat_gateway")) == 1
        assert len(changed("private hosts, bastion, NAT", both).all("aws_eip")) == 1

    def test_pollers_in_groups_share_units(self):
        provisioned = changed("pollers provisioned")
        assert {tuple(each.values["provisioned_poller_config"][0].items()) for each in provisioned.all(
            "aws_lambda_event_source_mapping"
        )} == {tuple(POLLERS.items())}  # fmt: skip
        assert offered(provisioned)["pollers provisioned, one group"].hour == pytest.approx(-8 * 0.185)

    def test_other_hosts_are_left_alone(self):
        kinds = [each.values["instance_type"] for each in changed("t3.micro for t2.micro").all("aws_instance")]
        assert sorted(kinds) == ["t3.large"] + ["t3.micro"] * 6 + ["t3.small"]
        rest = changed("no Control Center")
        assert {each.values["tags"]["Role"] for each in rest.all("aws_instance")} == {
            "kafka",
            "zookeeper",
            "monitoring",
        }
        assert len(rest.resources) == len(default_plan().resources) - 1
