"""A plan is read from Terraform's JSON, a sample holds what decides about cost and no more, wrong files are refused."""

import json

import pytest

from shopstream.cost.plan import Plan, Resource, default_plan, read_plan, trimmed
from shopstream.errors import UsageError


def resource(kind, name="x", mode="managed", **more):
    return {"mode": mode, "type": kind, "name": name, **more}


def plan_of(*resources, children=(), **more):
    module = {"resources": list(resources), "child_modules": [{"resources": list(children)}]}
    return {"format_version": "1.2", "planned_values": {"root_module": module}, **more}


class TestReading:
    def test_managed_resources_of_all_modules_count_and_data_does_not(self):
        plan = Plan.of(
            plan_of(
                resource("aws_eip", index=0, values={"domain": "vpc"}),
                resource("aws_ami", mode="data"),
                children=[resource("aws_vpc", "inner", values=None)],
            )
        )
        assert plan.resources == (Resource("aws_eip", "x", 0, {"domain": "vpc"}), Resource("aws_vpc", "inner"))
        assert plan.all("aws_eip") == plan.all("aws_eip", "x") == [plan.resources[0]]
        assert plan.all("aws_eip", "y") == []

    def test_region_and_zones_come_from_the_plan(self):
        subnets = [resource("aws_subnet", name) for name in ("private", "private", "public")]
        plan = Plan.of(plan_of(*subnets, variables={"region": {"value": "eu-west-1"}}))
        assert (plan.region, plan.zones) == ("eu-west-1", 2)
        assert (Plan.of(plan_of()).region, Plan.of(plan_of()).zones) == (None, 0)

    def test_a_state_is_read_as_well(self):
        state = {"values": {"root_module": {"resources": [resource("aws_eip")]}}}
        assert Plan.of(state).resources == (Resource("aws_eip", "x"),)

    def test_other_values_make_another_resource(self):
        one = Resource("aws_instance", "host", None, {"a": 1, "b": 2})
        assert one.but(b=3).values == {"a": 1, "b": 3}
        assert one.values == {"a": 1, "b": 2}


class TestFiles:
    def read(self, path, content):
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_plan(path)

    def test_a_plan_is_read_from_its_file(self, tmp_path):
        plan = self.read(tmp_path / "p.json", plan_of(resource("aws_eip")))
        assert plan.resources == (Resource("aws_eip", "x"),)

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"PK\x03\x04", "Terraform's own plan file"),
            (b"not json", "not the JSON of a plan"),
            (b"\xff\xfe", "not the JSON of a plan"),
            (b"[1]", "not the JSON of a plan"),
            (b"7", "not the JSON of a plan"),
            ({"planned_values": {"root_module": {"resources": [{"mode": "managed"}]}}}, "not the JSON of a plan"),
            ({"planned_values": {"root_module": []}}, "no resource"),
            ({"variables": {}}, "no resource"),
            (plan_of(resource("aws_ami", mode="data")), "no resource"),
        ],
    )
    def test_anything_else_is_refused_with_the_remedy(self, tmp_path, content, complaint):
        with pytest.raises(UsageError, match=complaint) as refused:
            self.read(tmp_path / "p.json", content)
        assert "p.json" in str(refused.value)
        assert "terraform show -json" in str(refused.value)
        assert refused.value.exit_code == 2

    @pytest.mark.parametrize("name", ["missing.json", "."])
    def test_a_file_that_cannot_be_read_is_named(self, tmp_path, name):
        with pytest.raises(UsageError, match="cannot be read"):
            read_plan(tmp_path / name)


class TestSample:
    def test_it_is_the_deployment_with_all_defaults(self):
        plan = default_plan()
        hosts = [each.values["instance_type"] for each in plan.all("aws_instance")]
        assert sorted(hosts) == ["t2.micro"] * 6 + ["t3.large", "t3.small"]
        assert (len(plan.all("aws_lambda_function")), len(plan.all("aws_lambda_event_source_mapping"))) == (5, 9)
        assert (plan.region, plan.zones, plan.variables["orders_per_invocation"]) == ("us-east-1", 3, 10)

    def test_trimming_keeps_what_costs_and_drops_the_rest(self):
        disk = {"volume_size": 8, "volume_type": "gp3", "iops": None, "tags": {"Owner": "me"}}
        values = {
            "instance_type": "t3.micro",
            "private_ip": "10.0.0.1",
            "monitoring": None,
            "root_block_device": [disk],
        }
        variables = {"region": {"value": "us-east-1"}, "admin_cidr": {"value": "203.0.113.7/32"}}
        secret = resource("aws_secretsmanager_secret_version", values={"secret_string": "hush"})
        instance = resource("aws_instance", index="a", values={**values, "tags": {"Role": "kafka", "Name": "k"}})
        sample = trimmed(plan_of(instance, secret, variables=variables))
        assert sample == {
            "format_version": "1.2",
            "variables": {"region": {"value": "us-east-1"}},
            "planned_values": {
                "root_module": {
                    "resources": [
                        resource(
                            "aws_instance",
                            index="a",
                            values={
                                "instance_type": "t3.micro",
                                "root_block_device": [{"volume_size": 8, "volume_type": "gp3"}],
                                "tags": {"Role": "kafka"},
                            },
                        ),
                        resource("aws_secretsmanager_secret_version", values={}),
                    ]
                }
            },
        }
        assert trimmed(sample) == sample
