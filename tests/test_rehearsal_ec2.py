"""The stand-in's EC2: addresses, groups and interfaces of an instance come and go as at AWS, and Debian is there."""

import pytest

from shopstream.rehearsal.aws import AwsStandIn

pytestmark = pytest.mark.infra

PARAMETER = "/aws/service/debian/release/12/latest/{}"


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with AwsStandIn(tmp_path_factory.mktemp("aws") / "moto.log") as stand_in:
        yield stand_in
        assert stand_in.unsupported_calls() == []


@pytest.fixture(scope="module")
def ec2(aws):
    return aws.client("ec2")


@pytest.fixture(scope="module")
def image(aws):
    return aws.client("ssm").get_parameter(Name=PARAMETER.format("amd64"))["Parameter"]["Value"]


@pytest.fixture(scope="module")
def vpc(ec2):
    ec2.create_key_pair(KeyName="key")
    return ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture(scope="module")
def subnet(ec2, vpc):
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]


@pytest.fixture(scope="module")
def groups(ec2, vpc):
    return [ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in ("kafka", "ssh")]


@pytest.fixture
def run(ec2, image, subnet, groups):
    made = []

    def start(address, **changes):
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet,
            "PrivateIpAddress": address,
            "Groups": groups,
            "AssociatePublicIpAddress": True,
            **changes,
        }
        answer = ec2.run_instances(
            ImageId=image,
            InstanceType="t2.micro",
            KeyName="key",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
        )
        made.append(answer["Instances"][0]["InstanceId"])
        return made[-1]

    yield start
    for each in made:
        ec2.terminate_instances(InstanceIds=[each])


def shown(ec2, identifier):
    return ec2.describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]


def groups_of(instance):
    return {each["GroupId"] for each in instance["SecurityGroups"]}


def refusal(call, *arguments, **more):
    with pytest.raises(Exception) as refused:  # noqa: PT011 - its code is looked at
        call(*arguments, **more)
    return refused.value.response["Error"]["Code"]


@pytest.mark.parametrize(("debian", "architecture"), [("amd64", "x86_64"), ("arm64", "arm64")])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_debians_parameter_names_debians_image(tmp_path, aws, region, debian, architecture):
    there = AwsStandIn(tmp_path / "unused", region=region)
    there._endpoint = aws.endpoint  # the same server, asked in another region
    parameter = there.client("ssm").get_parameter(Name=PARAMETER.format(debian))["Parameter"]
    images = there.client("ec2").describe_images(
        Owners=["136693071363"], Filters=[{"Name": "name", "Values": [f"debian-12-{debian}-*"]}]
    )["Images"]
    there.stop()
    assert [each["ImageId"] for each in images] == [parameter["Value"]]
    assert (images[0]["Architecture"], images[0]["RootDeviceName"]) == (architecture, "/dev/xvda")
    assert parameter["DataType"] == "aws:ec2:image"


def test_groups_given_through_the_interface_are_the_instances(ec2, run, groups):
    identifier = run("10.20.1.10")
    instance = shown(ec2, identifier)
    assert groups_of(instance) == set(groups)
    assert instance["PrivateIpAddress"] == "10.20.1.10"
    interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=groups[:1])
    assert groups_of(shown(ec2, identifier)) == set(groups[:1])
    ec2.modify_instance_attribute(InstanceId=identifier, Groups=groups[1:])
    assert groups_of(shown(ec2, identifier)) == set(groups[1:])


def test_groups_given_to_the_instance_are_its_interfaces(ec2, image, subnet, groups):
    instance = ec2.run_instances(
        ImageId=image,
        InstanceType="t2.micro",
        KeyName="key",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        SecurityGroupIds=groups,
    )["Instances"][0]
    assert groups_of(shown(ec2, instance["InstanceId"])) == set(groups)
    interface = shown(ec2, instance["InstanceId"])["NetworkInterfaces"][0]
    assert {each["GroupId"] for each in interface["Groups"]} == set(groups)
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_a_terminated_instance_frees_its_address_and_leaves_no_interface(ec2, run, vpc):
    first = run("10.20.1.20")
    assert refusal(run, "10.20.1.20") == "InvalidIPAddress.InUse"
    for _ in range(2):  # AWS accepts a second termination
        ec2.terminate_instances(InstanceIds=[first])
    left = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
    assert "10.20.1.20" not in {each["PrivateIpAddress"] for each in left}
    assert shown(ec2, run("10.20.1.20"))["PrivateIpAddress"] == "10.20.1.20"


@pytest.mark.parametrize("public", [True, False])
def test_an_instance_has_an_association_if_it_has_a_public_address(ec2, run, public):
    instance = shown(ec2, run("10.20.1.25", AssociatePublicIpAddress=public))
    interface = instance["NetworkInterfaces"][0]
    assert ("Association" in interface) == public
    assert bool(instance.get("PublicIpAddress")) == public
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])
    assert ("Association" in found["NetworkInterfaces"][0]) == public


def test_an_interface_that_shall_stay_stays(ec2, run):
    identifier = run("10.20.1.30", DeleteOnTermination=False)
    interface = shown(ec2, identifier)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.terminate_instances(InstanceIds=[identifier])
    ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])


@pytest.mark.parametrize("address", ["10.20.1.3", "10.20.1.255", "10.20.2.10"])
def test_an_address_that_the_subnet_does_not_have_is_refused(run, address):
    assert refusal(run, address) == "InvalidParameterValue"


def test_a_deleted_nat_gateway_leaves_nothing_but_its_address(ec2, subnet, vpc):
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]

    def interfaces():
        found = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
        return {each["NetworkInterfaceId"] for each in found}

    before = interfaces()
    assert "AssociationId" in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    assert len(before - interfaces()) == 1
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    ec2.release_address(AllocationId=address)
    assert refusal(ec2.delete_nat_gateway, NatGatewayId="nat-00000000") == "NatGatewayNotFound"


def test_monitoring_is_switched(ec2, run):
    identifier = run("10.20.1.40")
    assert shown(ec2, identifier)["Monitoring"]["State"] == "disabled"
    ec2.monitor_instances(InstanceIds=[identifier])
    assert shown(ec2, identifier)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[identifier])
    assert shown(ec2, identifier)["Monitoring"]["State"] == "disabled"
    assert refusal(ec2.monitor_instances, InstanceIds=["i-00000000"]) == "InvalidInstanceID.NotFound"


def test_every_rule_has_its_description(ec2, groups, vpc):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway", RouteTableIds=[table]
    )
    prefix_list = ec2.describe_prefix_lists()["PrefixLists"][0]["PrefixListId"]
    ports = {"IpProtocol": "tcp", "FromPort": 9092, "ToPort": 9094}
    ec2.authorize_security_group_egress(
        GroupId=groups[0],
        IpPermissions=[
            {**ports, "UserIdGroupPairs": [{"GroupId": groups[1], "Description": "a group"}]},
            {**ports, "PrefixListIds": [{"PrefixListId": prefix_list, "Description": "a list"}]},
            {**ports, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a range"}]},
        ],
    )

    def rules():
        answer = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [groups[0]]}])
        return {each.get("Description"): each for each in answer["SecurityGroupRules"]}

    assert {"a group", "a list", "a range"} <= rules().keys()
    assert rules()["a group"]["ReferencedGroupInfo"]["GroupId"] == groups[1]
    ec2.modify_security_group_rules(
        GroupId=groups[0],
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rules()["a group"]["SecurityGroupRuleId"],
                "SecurityGroupRule": {**ports, "ReferencedGroupId": groups[1], "Description": "another"},
            }
        ],
    )
    assert "another" in rules()
    assert "a group" not in rules()
