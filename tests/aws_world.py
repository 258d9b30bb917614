"""A whole deployment, made by boto3 as infra/terraform makes it with access = "public", for the check to look at."""

from __future__ import annotations

import io
import json
import zipfile

from shopstream.aws.authority import find_or_make, keep
from shopstream.aws.confirm import Expected, Host
from tests.aws_account import ACCOUNT_ID, NOW, OURS, REGION, TOPOLOGY, make_function, make_mapping, make_role
from tests.aws_account import specification as tagged

ADMIN = "203.0.113.7/32"
BROKERS = tuple(f"10.20.0.{20 + number}:9094" for number in (1, 2, 3))
HOSTS = (
    *(Host("zookeeper", f"zookeeper{n}", f"10.20.0.{10 + n}", "t2.micro") for n in (1, 2, 3)),
    *(Host("kafka", f"kafka{n}", f"10.20.0.{20 + n}", "t2.micro") for n in (1, 2, 3)),
    Host("control_center", "control-center", "10.20.0.31", "t3.large"),
    Host("monitoring", "monitoring", "10.20.0.41", "t3.small"),
)


class World:
    """The deployment's ids, for tests that spoil something."""

    def __init__(self, aws, zips):
        self.aws = aws
        self.ec2 = aws.client("ec2")
        self.instances = {}
        self.mappings = {}
        self._bucket()
        self._network()
        self._groups()
        self._instances()
        self._secrets()
        self._functions(zips)
        self.expected = Expected(
            deployment=OURS,
            topology=TOPOLOGY,
            access="public",
            admin_cidr=ADMIN,
            hosts=HOSTS,
            bootstrap_servers=",".join(BROKERS),
            zips={service: zips / f"{service}.zip" for service in OURS.services},
        )

    def _bucket(self):
        client, name = self.aws.client("s3"), OURS.bucket
        client.create_bucket(Bucket=name)
        client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": OURS.tag_list})
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        client.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=dict.fromkeys(
                ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
            ),
        )
        client.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        statement = {
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }  # fmt: skip
        client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def _network(self):
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tagged("vpc", OURS))["Vpc"]["VpcId"]
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.public_table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=self.public_table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway)
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.20.{16 * number}.0/20", AvailabilityZone=zone)["Subnet"][
                "SubnetId"
            ]
            for number, zone in enumerate(("us-east-1a", "us-east-1b", "us-east-1a", "us-east-1b"))
        ]
        self.public, self.private = self.subnets[:2], self.subnets[2:]
        for subnet in self.public:
            ec2.associate_route_table(RouteTableId=self.public_table, SubnetId=subnet)

    def _groups(self):
        self.groups = {
            name: self.ec2.create_security_group(GroupName=f"shop-{name}", Description=name, VpcId=self.vpc)["GroupId"]
            for name in ("ssh", "kafka", "control-center", "monitoring", "lambdas")
        }
        self.allow("ssh", 22, cidr=ADMIN)
        for port, source in ((9092, "kafka"), (9093, "control-center"), (9093, "monitoring"), (9094, "lambdas")):
            self.allow("kafka", port, group=source)

    def allow(self, name, port, *, cidr=None, group=None):
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        rule |= {"IpRanges": [{"CidrIp": cidr}]} if cidr else {"UserIdGroupPairs": [{"GroupId": self.groups[group]}]}
        self.ec2.authorize_security_group_ingress(GroupId=self.groups[name], IpPermissions=[rule])

    def _instances(self):
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        for host in HOSTS:
            tags = [*OURS.tag_list, {"Key": "Name", "Value": host.name}, {"Key": "Role", "Value": host.role}]
            made = self.ec2.run_instances(
                ImageId=image, InstanceType=host.instance_type, MinCount=1, MaxCount=1, SubnetId=self.public[0],
                PrivateIpAddress=host.private_ip, SecurityGroupIds=[self.groups["ssh"]],
                MetadataOptions={"HttpTokens": "required"},
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )  # fmt: skip
            self.instances[host.name] = made["Instances"][0]["InstanceId"]

    def _secrets(self):
        client = self.aws.client("secretsmanager")
        keep(self.aws, OURS, find_or_make(self.aws, OURS, NOW))
        self.secrets = {
            name: client.create_secret(Name=name, SecretString="{}", Tags=OURS.tag_list)["ARN"]
            for name in OURS.secrets
            if name != OURS.ca_key_secret
        }

    def _functions(self, zips):
        self.aws.client("dynamodb").create_table(
            TableName=OURS.tables[0], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
        )  # fmt: skip
        iam, logs = self.aws.client("iam"), self.aws.client("logs")
        for service in TOPOLOGY.services.values():
            name = OURS.function(service.name)
            role = make_role(self.aws, name, OURS)
            iam.attach_role_policy(
                RoleName=name, PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
            )
            logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
            logs.put_retention_policy(logGroupName=f"/aws/lambda/{name}", retentionInDays=14)
            user, ca = self.secrets[OURS.user_secret(service.name)], self.secrets[OURS.ca_secret]
            variables = {
                "KAFKA_BOOTSTRAP_SERVERS": ",".join(BROKERS), "KAFKA_USER_SECRET_ARN": user,
                "KAFKA_CA_SECRET_ARN": ca, "METRICS_NAMESPACE": "shop",
            }  # fmt: skip
            variables |= {"STATE_TABLE": OURS.tables[0]} if service.state else {}
            variables |= {"ORDERS_PER_INVOCATION": "10"} if service.progress else {}
            code = zipped(service.name)
            (zips / f"{service.name}.zip").write_bytes(code)
            make_function(
                self.aws, name, OURS, role=role, code=code, Handler=service.lambda_handler,
                Environment={"Variables": variables},
                VpcConfig={"SubnetIds": self.private, "SecurityGroupIds": [self.groups["lambdas"]]},
            )  # fmt: skip
            for source in service.event_sources:
                self.mappings[source.group] = make_mapping(
                    self.aws, name, source.topic, source.group, user=user, certificate=ca, brokers=BROKERS,
                    access=[
                        *({"Type": "VPC_SUBNET", "URI": f"subnet:{subnet}"} for subnet in self.private),
                        {"Type": "VPC_SECURITY_GROUP", "URI": f"security_group:{self.groups['lambdas']}"},
                    ],
                )  # fmt: skip


def zipped(text):
    """A small zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.py"), text)  # with a date that is always the same
    return buffer.getvalue()


__all__ = ["ACCOUNT_ID", "REGION", "World", "zipped"]
