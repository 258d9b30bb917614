"""One of each kind of thing that a deployment can leave, made as somebody's: each function makes it, and names it."""

from __future__ import annotations

from tests.aws_account import make_function, make_mapping, make_network, make_role, specification


def image(aws):
    return aws.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def instance(aws, who):
    _, subnet = make_network(aws, who)
    made = aws.client("ec2").run_instances(
        ImageId=image(aws), InstanceType="t2.micro", MinCount=1, MaxCount=1, SubnetId=subnet,
        TagSpecifications=specification("instance", who),
    )  # fmt: skip
    return made["Instances"][0]["InstanceId"]


def volume(aws, who):
    made = aws.client("ec2").create_volume(
        AvailabilityZone="us-east-1a", Size=8, TagSpecifications=specification("volume", who)
    )
    return made["VolumeId"]


def attached_volume(aws, who):
    """A root disk: it has no tags of its own."""
    identity = instance(aws, who)
    mappings = aws.client("ec2").describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"][0]
    return mappings["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]


def snapshot(aws, who):
    made = aws.client("ec2").create_snapshot(
        VolumeId=volume(aws, who), TagSpecifications=specification("snapshot", who)
    )
    return made["SnapshotId"]


def address(aws, who):
    made = aws.client("ec2").allocate_address(Domain="vpc", TagSpecifications=specification("elastic-ip", who))
    return made["AllocationId"]


def tagged_interface(aws, who):
    ec2 = aws.client("ec2")
    foreign = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=foreign, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet, TagSpecifications=specification("network-interface", who))
    return made["NetworkInterface"]["NetworkInterfaceId"]


def interface_by_vpc(aws, who):
    _, subnet = make_network(aws, who)
    return aws.client("ec2").create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]


def vpc(aws, who):
    return make_network(aws, who)[0]


def subnet_by_vpc(aws, who):
    return make_network(aws, who)[1]


def route_table_by_vpc(aws, who):
    made = aws.client("ec2").create_route_table(VpcId=make_network(aws, who)[0])
    return made["RouteTable"]["RouteTableId"]


def gateway(aws, who):
    made = aws.client("ec2").create_internet_gateway(TagSpecifications=specification("internet-gateway", who))
    return made["InternetGateway"]["InternetGatewayId"]


def gateway_by_vpc(aws, who):
    ec2 = aws.client("ec2")
    identity = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=make_network(aws, who)[0])
    return identity


def nat(aws, who):
    _, subnet = make_network(aws, who)
    made = aws.client("ec2").create_nat_gateway(SubnetId=subnet, AllocationId=address(aws, who))
    return made["NatGateway"]["NatGatewayId"]


def endpoint(aws, who):
    network, _ = make_network(aws, who)
    made = aws.client("ec2").create_vpc_endpoint(
        VpcId=network, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway"
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def security_group(aws, who):
    made = aws.client("ec2").create_security_group(
        GroupName=f"{who.name}-lambdas", Description="functions", VpcId=make_network(aws, who)[0]
    )
    return made["GroupId"]


def network_acl(aws, who):
    made = aws.client("ec2").create_network_acl(VpcId=make_network(aws, who)[0])
    return made["NetworkAcl"]["NetworkAclId"]


def key_pair(aws, who):
    made = aws.client("ec2").create_key_pair(
        KeyName=f"{who.name}-admin", TagSpecifications=specification("key-pair", who)
    )
    return made["KeyPairId"]


def role(aws, who):
    make_role(aws, f"{who.name}-notification_handler", who)
    return f"{who.name}-notification_handler"


def policy(aws, who):
    made = aws.client("iam").create_policy(
        PolicyName=f"{who.name}-policy",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
        Tags=who.tag_list,
    )
    return made["Policy"]["Arn"]


def profile(aws, who):
    aws.client("iam").create_instance_profile(InstanceProfileName=f"{who.name}-host", Tags=who.tag_list)
    return f"{who.name}-host"


def function(aws, who):
    return make_function(aws, f"{who.name}-order_generator", who)["FunctionName"]


def layer(aws, who):
    aws.client("lambda").publish_layer_version(LayerName=f"{who.name}-dependencies", Content={"ZipFile": b"zip"})
    return f"{who.name}-dependencies"


def mapping(aws, who):
    name = make_function(aws, f"{who.name}-payment_processor", who)["FunctionName"]
    return make_mapping(aws, name, "order_placed", f"{who.name}.order_placed")


def orphaned_mapping(aws, who):
    """A mapping whose function is gone."""
    name = make_function(aws, f"{who.name}-shipping_handler", who)["FunctionName"]
    identity = make_mapping(aws, name, "payment_result", f"{who.name}.payment_result")
    aws.client("lambda").delete_function(FunctionName=name)
    return identity


def log_group(aws, who):
    aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/{who.name}-payment_processor", tags=who.tags)
    return f"/aws/lambda/{who.name}-payment_processor"


def late_log_group(aws, who):
    """One that the function made itself, without tags."""
    aws.client("logs").create_log_group(logGroupName=f"/aws/lambda/{who.name}-order_generator")
    return f"/aws/lambda/{who.name}-order_generator"


def secret(aws, who):
    aws.client("secretsmanager").create_secret(
        Name=who.user_secret("admin"), SecretString="{}", Tags=who.tag_list
    )  # fmt: skip
    return who.user_secret("admin")


def table(aws, who):
    aws.client("dynamodb").create_table(
        TableName=f"{who.name}-shipping_handler_state",
        AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=who.tag_list,
    )
    return f"{who.name}-shipping_handler_state"


def queue(aws, who):
    return aws.client("sqs").create_queue(QueueName=f"{who.name}-failures", tags=who.tags)["QueueUrl"]


def topic(aws, who):
    return aws.client("sns").create_topic(Name=f"{who.name}-alarms", Tags=who.tag_list)["TopicArn"]


def rule(aws, who):
    aws.client("events").put_rule(
        Name=f"{who.name}-order_generator", ScheduleExpression="rate(1 minute)", Tags=who.tag_list
    )
    return f"{who.name}-order_generator"


def schedule_group(aws, who):
    aws.client("scheduler").create_schedule_group(Name=f"{who.name}-schedules", Tags=who.tag_list)
    return f"{who.name}-schedules"


def schedule(aws, who):
    arn = make_function(aws, f"{who.name}-inventory_manager", who)["FunctionArn"]
    aws.client("scheduler").create_schedule(
        Name=f"{who.name}-orders", FlexibleTimeWindow={"Mode": "OFF"}, ScheduleExpression="rate(1 minute)",
        Target={"Arn": arn, "RoleArn": arn.replace("lambda", "iam")},
    )  # fmt: skip
    return f"default/{who.name}-orders"


def alarm(aws, who):
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{who.name}-errors", MetricName="Errors", Namespace="AWS/Lambda", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", Tags=who.tag_list,
    )  # fmt: skip
    return f"{who.name}-errors"


def dashboard(aws, who):
    aws.client("cloudwatch").put_dashboard(DashboardName=who.name, DashboardBody='{"widgets": []}')
    return who.name


def budget(aws, who):
    aws.client("budgets").create_budget(
        AccountId=who.account,
        Budget={
            "BudgetName": who.name, "BudgetType": "COST", "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "50", "Unit": "USD"},
        },
        ResourceTags=who.tag_list,
    )  # fmt: skip
    return who.name


def bucket(aws, who):
    client = aws.client("s3")
    client.create_bucket(Bucket=who.bucket)
    client.put_bucket_tagging(Bucket=who.bucket, Tagging={"TagSet": who.tag_list})
    client.put_object(Bucket=who.bucket, Key="lambdas/a.zip", Body=b"zip")
    return who.bucket


def untagged_bucket(aws, who):
    aws.client("s3").create_bucket(Bucket=who.bucket)
    return who.bucket


def zone(aws, who):
    client = aws.client("route53")
    identity = client.create_hosted_zone(Name=f"{who.name}.internal", CallerReference=who.name)["HostedZone"]["Id"]
    client.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=identity.rpartition("/")[2], AddTags=who.tag_list
    )
    return identity


def parameter(aws, who):
    aws.client("ssm").put_parameter(Name=f"/{who.name}/setting", Value="1", Type="String", Tags=who.tag_list)
    return f"/{who.name}/setting"


def key(aws, who):
    tags = [{"TagKey": name, "TagValue": value} for name, value in who.tags.items()]
    return aws.client("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]


def machine_image(aws, who):
    made = aws.client("ec2").create_image(
        InstanceId=instance(aws, who), Name=f"{who.name}-image", TagSpecifications=specification("image", who)
    )
    return made["ImageId"]


def flow_log(aws, who):
    made = aws.client("ec2").create_flow_logs(
        ResourceType="VPC", ResourceIds=[make_network(aws, who)[0]], TrafficType="ALL", LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{log_bucket(aws, who)}", TagSpecifications=specification("vpc-flow-log", who),
    )  # fmt: skip
    return made["FlowLogIds"][0]


def flow_log_by_vpc(aws, who):
    made = aws.client("ec2").create_flow_logs(
        ResourceType="VPC", ResourceIds=[make_network(aws, who)[0]], TrafficType="ALL", LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{log_bucket(aws, who)}",
    )  # fmt: skip
    return made["FlowLogIds"][0]


def log_bucket(aws, who):
    """Somebody else's, where flow logs go."""
    aws.client("s3").create_bucket(Bucket=f"logs-of-{who.name}")
    return f"logs-of-{who.name}"


def launch_template(aws, who):
    made = aws.client("ec2").create_launch_template(
        LaunchTemplateName=f"{who.name}-host", LaunchTemplateData={"InstanceType": "t2.micro"},
        TagSpecifications=specification("launch-template", who),
    )  # fmt: skip
    return made["LaunchTemplate"]["LaunchTemplateId"]


def dhcp_options(aws, who):
    ec2 = aws.client("ec2")
    made = ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": [f"{who.name}.internal"]}])
    identity = made["DhcpOptions"]["DhcpOptionsId"]
    ec2.create_tags(Resources=[identity], Tags=who.tag_list)  # the stand-in forgets tags that are given at once
    return identity


def vpn_gateway(aws, who):
    made = aws.client("ec2").create_vpn_gateway(
        Type="ipsec.1", TagSpecifications=specification("vpn-gateway", who)
    )  # fmt: skip
    return made["VpnGateway"]["VpnGatewayId"]


def vpn_gateway_by_vpc(aws, who):
    ec2 = aws.client("ec2")
    identity = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpnGatewayId=identity, VpcId=make_network(aws, who)[0])
    return identity


def egress_only_gateway(aws, who):
    ec2 = aws.client("ec2")
    foreign = ec2.create_vpc(CidrBlock="10.98.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_egress_only_internet_gateway(
        VpcId=foreign, TagSpecifications=specification("egress-only-internet-gateway", who)
    )
    return made["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]


def egress_only_gateway_by_vpc(aws, who):
    made = aws.client("ec2").create_egress_only_internet_gateway(VpcId=make_network(aws, who)[0])
    return made["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]


def peering(aws, who):
    ec2 = aws.client("ec2")
    one, other = (ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in (96, 97))
    made = ec2.create_vpc_peering_connection(
        VpcId=one, PeerVpcId=other, TagSpecifications=specification("vpc-peering-connection", who)
    )
    return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]


def peering_by_vpc(aws, who):
    ec2 = aws.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.95.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_peering_connection(VpcId=other, PeerVpcId=make_network(aws, who)[0])
    return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]


PLANTS = {
    instance: "EC2 instance", volume: "EBS volume", attached_volume: "EBS volume", snapshot: "EBS snapshot",
    address: "elastic address", tagged_interface: "network interface", interface_by_vpc: "network interface",
    vpc: "VPC", subnet_by_vpc: "subnet", route_table_by_vpc: "route table", gateway: "internet gateway",
    gateway_by_vpc: "internet gateway", nat: "NAT gateway", endpoint: "VPC endpoint",
    security_group: "security group", network_acl: "network ACL", key_pair: "key pair", role: "IAM role",
    policy: "IAM policy", profile: "instance profile", function: "Lambda function", layer: "Lambda layer",
    mapping: "event source mapping", orphaned_mapping: "event source mapping", log_group: "log group",
    late_log_group: "log group", secret: "secret", table: "DynamoDB table", queue: "SQS queue", topic: "SNS topic",
    rule: "EventBridge rule", schedule_group: "schedule group", schedule: "schedule", alarm: "CloudWatch alarm",
    dashboard: "CloudWatch dashboard", budget: "budget", bucket: "S3 bucket",
    zone: "Route 53 zone", parameter: "SSM parameter", key: "KMS key", machine_image: "machine image",
    flow_log: "VPC flow log", flow_log_by_vpc: "VPC flow log", launch_template: "launch template",
    dhcp_options: "DHCP options", vpn_gateway: "VPN gateway", vpn_gateway_by_vpc: "VPN gateway",
    egress_only_gateway: "egress-only internet gateway", egress_only_gateway_by_vpc: "egress-only internet gateway",
    peering: "VPC peering connection", peering_by_vpc: "VPC peering connection",
}  # fmt: skip
