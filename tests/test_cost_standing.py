"""What stands is priced by what it is; what has no known price is named, and never counted as free."""

import pytest

from shopstream.aws.price import changes, price
from shopstream.cost.plan import Plan, Resource, default_plan
from shopstream.cost.prices import price_table
from shopstream.cost.standing import BY_USE, FREE, PRICED, SERVICES, Unpriced, poller_units, standing

TABLE = price_table()
MONTH = 730
FASTER = "gp3 volume with more IOPS or throughput than every gp3 volume has"


def found(*resources):
    return standing(Plan(tuple(resources)), TABLE)


def lines(*resources):
    return {(line.service, line.what): line.quantity for line in found(*resources).lines}


def unpriced(*resources):
    return {each.what: each.count for each in found(*resources).unpriced}


def instance(kind="t2.micro", **values):
    return Resource("aws_instance", "host", None, {"instance_type": kind, **values})


def mapping(*pollers):
    return Resource("aws_lambda_event_source_mapping", "topic", None, {"provisioned_poller_config": list(pollers)})


class TestHosts:
    def test_a_host_is_billed_with_its_disks_and_its_address(self):
        disks = {
            "root_block_device": [{"volume_type": "gp3", "volume_size": 20, "iops": 3000, "throughput": 125}],
            "ebs_block_device": [{"volume_type": "gp3", "volume_size": 5}],
        }
        assert lines(instance(associate_public_ip_address=True, **disks), instance(), instance("t3.large")) == {
            ("EC2", "t2.micro"): 2,
            ("EC2", "t3.large"): 1,
            ("EBS", "GB of gp3"): 25,
            ("public IPv4", "address of a host"): 1,
        }

    def test_a_host_without_a_public_address_has_none_to_pay(self):
        assert lines(instance(associate_public_ip_address=False)) == {("EC2", "t2.micro"): 1}

    @pytest.mark.parametrize(
        ("disk", "named"),
        [
            ({"volume_type": "gp2", "volume_size": 8}, "volume of type gp2"),
            ({"volume_size": 8}, "volume of type None"),
            ({"volume_type": "gp3", "iops": 3001}, FASTER),
            ({"volume_type": "gp3", "throughput": 126}, FASTER),
        ],
    )
    def test_a_disk_of_another_kind_is_named(self, disk, named):
        assert unpriced(instance(root_block_device=[disk])) == {named: 1}
        assert lines(instance(root_block_device=[disk])) == {("EC2", "t2.micro"): 1}

    def test_a_type_without_a_price_and_detailed_monitoring_are_named(self):
        assert unpriced(instance("x9.huge"), instance("x9.huge", monitoring=True)) == {
            "aws_instance of type x9.huge": 2,
            "aws_instance with detailed monitoring": 1,
        }
        assert [str(each) for each in found(instance("x9.huge"), instance("x9.huge")).unpriced] == [
            "2 x aws_instance of type x9.huge"
        ]
        assert str(Unpriced("aws_lb", 1)) == "aws_lb"

    def test_hosts_and_their_addresses_stop_and_nothing_else_does(self):
        assert {line.service for line in standing(default_plan(), TABLE).lines if line.stops} == {"EC2", "public IPv4"}
        assert not any(line.stops for line in found(Resource("aws_eip", "nat")).lines)


class TestNetwork:
    def endpoint(self, **values):
        return Resource("aws_vpc_endpoint", "e", None, values)

    def subnets(self, count):
        return [Resource("aws_subnet", "private", number) for number in range(count)]

    def test_a_nat_gateway_and_its_address(self):
        assert lines(Resource("aws_nat_gateway", "main"), Resource("aws_eip", "nat")) == {
            ("NAT gateway", "gateway"): 1,
            ("public IPv4", "address that stays"): 1,
        }

    def test_an_interface_endpoint_counts_in_each_zone(self):
        interface = self.endpoint(vpc_endpoint_type="Interface")
        what = ("interface endpoints", "endpoint in a zone")
        assert lines(interface, interface, *self.subnets(3)) == {what: 6}
        known = self.endpoint(vpc_endpoint_type="Interface", subnet_ids=["a", "b"])
        assert lines(known, *self.subnets(3)) == {what: 2}

    def test_a_gateway_endpoint_is_free_and_others_are_named(self):
        assert found(self.endpoint(vpc_endpoint_type="Gateway"), self.endpoint()) == ((), ())
        assert unpriced(self.endpoint(vpc_endpoint_type="Interface")) == {
            "aws_vpc_endpoint of type Interface in an unknown number of zones": 1
        }
        assert unpriced(self.endpoint(vpc_endpoint_type="GatewayLoadBalancer"), *self.subnets(2)) == {
            "aws_vpc_endpoint of type GatewayLoadBalancer in 2 zones": 1
        }


class TestPollers:
    @pytest.mark.parametrize(("minimum", "units"), [(None, 1), (1, 1), (10, 1), (11, 2), (200, 20)])
    def test_ten_pollers_of_a_mapping_share_a_unit(self, minimum, units):
        assert lines(mapping({"minimum_pollers": minimum})) == {("pollers", "event poller unit"): units}

    def test_mappings_do_not_share_unless_they_are_in_one_group(self):
        apart = [mapping({"minimum_pollers": 1}) for _ in range(9)]
        together = [mapping({"minimum_pollers": 2, "poller_group_name": "g"}) for _ in range(9)]
        assert poller_units(Plan(tuple(apart))) == 9
        assert poller_units(Plan(tuple(together))) == 2
        assert poller_units(Plan((*apart, *together))) == 11
        silent = [mapping({"poller_group_name": "g"}) for _ in range(11)]
        assert poller_units(Plan(tuple(silent))) == 2

    def test_on_demand_there_is_nothing_to_pay(self):
        assert found(mapping()) == ((), ())


class TestTheRest:
    def test_secrets_count_with_their_replicas_and_the_one_that_no_plan_shows(self):
        plain = Resource("aws_secretsmanager_secret", "user")
        copied = plain.but(replica=[{}, {}])
        assert lines(plain, copied) == {
            ("Secrets Manager", "secret"): 4,
            ("Secrets Manager", "secret beside the plan"): 1,
        }

    def test_alarms_of_one_metric_by_the_minute(self):
        def alarm(**values):
            return Resource("aws_cloudwatch_metric_alarm", "a", None, values)

        assert lines(alarm(period=60), alarm(period=300)) == {("CloudWatch alarms", "alarm"): 2}
        named = "aws_cloudwatch_metric_alarm of several metrics or in high resolution"
        assert unpriced(alarm(period=10), alarm(), alarm(period=60, metric_query=[{}])) == {named: 3}

    def test_dashboards_and_zips(self):
        assert lines(Resource("aws_cloudwatch_dashboard", "d"), Resource("aws_s3_object", "zip")) == {
            ("CloudWatch dashboards", "dashboard"): 1,
            ("S3", "GB of zips"): pytest.approx(0.00498),
        }

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"billing_mode": "PAY_PER_REQUEST"}, None),
            ({"billing_mode": "PAY_PER_REQUEST", "table_class": "STANDARD"}, None),
            ({"billing_mode": "PROVISIONED"}, "aws_dynamodb_table with provisioned capacity or of another class"),
            ({}, "aws_dynamodb_table with provisioned capacity or of another class"),
            (
                {"billing_mode": "PAY_PER_REQUEST", "table_class": "STANDARD_INFREQUENT_ACCESS"},
                "aws_dynamodb_table with provisioned capacity or of another class",
            ),
            ({"billing_mode": "PAY_PER_REQUEST", "replica": [{}]}, "aws_dynamodb_table with replicas or indexes"),
        ],
    )
    def test_only_the_plainest_table_is_free_while_idle(self, values, named):
        assert unpriced(Resource("aws_dynamodb_table", "t", None, values)) == ({named: 1} if named else {})


class TestCompleteness:
    def test_a_type_that_nobody_knows_is_named(self):
        assert unpriced(Resource("aws_lb", "a"), Resource("aws_lb", "b"), Resource("google_thing", "c")) == {
            "aws_lb": 2,
            "google_thing": 1,
        }

    def test_the_default_deployment_has_no_such_type(self):
        assert standing(default_plan(), TABLE).unpriced == ()

    def test_no_type_is_both_free_and_priced(self):
        assert not FREE.keys() & PRICED.keys()
        assert not FREE.keys() & BY_USE.keys()
        assert all(FREE.values())
        assert all(BY_USE.values())

    def test_lines_come_in_the_order_of_a_report_the_dearest_first(self):
        found = standing(default_plan(), TABLE).lines
        places = [(SERVICES.index(line.service), -line.hourly) for line in found]
        assert places == sorted(places)
        assert len(set(SERVICES)) == len(SERVICES)


# 6 x t2.micro, t3.large, t3.small; 3 x 10 + 3 x 20 + 30 + 20 GB; 8 addresses; 3 endpoints in 3 zones; 17 secrets;
# 13 alarms; a dashboard; 5 zips.
BY_HAND = {
    "EC2": 6 * 0.0116 + 0.0832 + 0.0208,
    "EBS": 140 * 0.08 / MONTH,
    "public IPv4": 8 * 0.005,
    "interface endpoints": 9 * 0.01,
    "Secrets Manager": 17 * 0.4 / MONTH,
    "CloudWatch alarms": 13 * 0.1 / MONTH,
    "CloudWatch dashboards": 3.0 / MONTH,
    "S3": 0.0249 * 0.023 / MONTH,
}


def test_the_default_deployment_costs_what_a_hand_computes():
    found = standing(default_plan(), TABLE)
    sums = dict.fromkeys(BY_HAND, 0.0)
    for line in found.lines:
        sums[line.service] += line.hourly
    assert sums == pytest.approx(BY_HAND)
    assert found.hourly == pytest.approx(0.334149, abs=1e-6)


class TestBeforeADeployment:
    """What the question before an apply says: the same prices."""

    def test_the_price_is_that_of_the_whole_plan(self):
        def resource(kind, name="x", **values):
            return {"mode": "managed", "type": kind, "name": name, "values": values}

        plan = {
            "planned_values": {
                "root_module": {
                    "resources": [
                        *(resource("aws_instance", instance_type="t2.micro") for _ in range(6)),
                        resource("aws_instance", instance_type="x9.huge"),
                        resource("aws_vpc_endpoint", vpc_endpoint_type="Interface"),
                        resource("aws_vpc_endpoint", vpc_endpoint_type="Gateway"),
                        *(resource("aws_subnet", "private") for _ in range(3)),
                    ]
                }
            }
        }
        assert price(plan).hourly == pytest.approx(6 * 0.0116 + 3 * 0.01)
        assert str(price(plan)) == (
            "about 0.10 USD an hour (2.39 a day) at us-east-1's prices, and aws_instance of type x9.huge whose price "
            "is not known here"
        )
        assert price({}) == (0.0, ())

    def test_changes_are_counted_and_a_replacement_counts_twice(self):
        actions = (["create"], ["create"], ["update"], ["delete", "create"], ["no-op"])
        plan = {"resource_changes": [{"mode": "managed", "change": {"actions": each}} for each in actions]}
        plan["resource_changes"].append({"mode": "data", "change": {"actions": ["create"]}})
        assert changes(plan) == (3, 1, 1)
        assert changes({}) == (0, 0, 0)
