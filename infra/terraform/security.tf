# Who may talk to whom. Groups are bare; each rule is a resource of its own with the reason in its description.
#
#   port        from                                         to
#   22          admin_cidr, or the bastion (which has it     every host
#               from admin_cidr)
#   9092        the brokers                                  kafka
#   9093        Control Center, monitoring                   kafka
#   9094        functions and pollers, monitoring (auditor)  kafka
#   2182        the brokers                                  zookeeper
#   2888, 3888  ZooKeeper                                    zookeeper
#   9021        admin_cidr, or the bastion                   control_center
#   3000, 9090  admin_cidr, or the bastion                   monitoring
#   9100, 7071  monitoring                                   every host; zookeeper and kafka
#   443         functions and pollers                        interface endpoints
#
# Name service and time come from inside the VPC, where groups do not filter them.

locals {
  bastion = var.access == "bastion"

  # What an operator's machine may open; with a bastion, through its tunnel only.
  operator_ports = {
    control_center = { group = aws_security_group.control_center.id, port = 9021, about = "Control Center" }
    grafana        = { group = aws_security_group.monitoring.id, port = 3000, about = "Grafana" }
    prometheus     = { group = aws_security_group.monitoring.id, port = 9090, about = "Prometheus" }
  }

  kafka_clients = {
    brokers               = { group = aws_security_group.kafka.id, port = 9092, about = "brokers among each other" }
    control_center        = { group = aws_security_group.control_center.id, port = 9093, about = "Control Center" }
    monitoring            = { group = aws_security_group.monitoring.id, port = 9093, about = "operators and exporters on the monitoring host" }
    lambdas               = { group = aws_security_group.lambdas.id, port = 9094, about = "functions and their pollers" }
    auditor_on_monitoring = { group = aws_security_group.monitoring.id, port = 9094, about = "the auditor on the monitoring host" }
  }

  zookeeper_clients = {
    brokers  = { group = aws_security_group.kafka.id, port = 2182, about = "brokers, with TLS" }
    quorum   = { group = aws_security_group.zookeeper.id, port = 2888, about = "followers to the leader" }
    election = { group = aws_security_group.zookeeper.id, port = 3888, about = "leader election" }
  }

  exporters = {
    node      = { group = aws_security_group.hosts.id, port = 9100, about = "node exporter" }
    kafka     = { group = aws_security_group.kafka.id, port = 7071, about = "JMX exporter of Kafka" }
    zookeeper = { group = aws_security_group.zookeeper.id, port = 7071, about = "JMX exporter of ZooKeeper" }
  }
}

# --- Groups --------------------------------------------------------------------------------------------------------

resource "aws_security_group" "ssh" {
  name        = "${var.name}-ssh"
  description = "SSH to every host"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-ssh" }
}

resource "aws_security_group" "hosts" {
  name        = "${var.name}-hosts"
  description = "What every host may do: fetch packages, talk inside the VPC"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-hosts" }
}

resource "aws_security_group" "bastion" {
  count = local.bastion ? 1 : 0

  name        = "${var.name}-bastion"
  description = "The only way in"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-bastion" }
}

resource "aws_security_group" "zookeeper" {
  name        = "${var.name}-zookeeper"
  description = "ZooKeeper"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-zookeeper" }
}

resource "aws_security_group" "kafka" {
  name        = "${var.name}-kafka"
  description = "Kafka"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-kafka" }
}

resource "aws_security_group" "control_center" {
  name        = "${var.name}-control-center"
  description = "Control Center"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-control-center" }
}

resource "aws_security_group" "monitoring" {
  name        = "${var.name}-monitoring"
  description = "Prometheus, Grafana, the auditor"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-monitoring" }
}

# The network interfaces that Lambda makes outlive functions and mappings by up to 40 minutes and hold this group.
# Removing them takes the functions' roles, so those must outlive the group: it depends on their policies.
resource "aws_security_group" "lambdas" {
  name        = "${var.name}-lambdas"
  description = "Functions and the pollers that feed them"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-lambdas" }

  depends_on = [aws_iam_role_policy.function]
}

resource "aws_security_group" "endpoints" {
  count = length(local.interface_endpoints) > 0 ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Interface endpoints of AWS services"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-endpoints" }
}

# --- From outside --------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "ssh_from_admin" {
  security_group_id = local.bastion ? aws_security_group.bastion[0].id : aws_security_group.ssh.id
  description       = "SSH from the administrator network"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = var.admin_cidr
}

resource "aws_vpc_security_group_ingress_rule" "ssh_from_bastion" {
  #checkov:skip=CKV_AWS_24: its source is a group, which checkov does not see
  count = local.bastion ? 1 : 0

  security_group_id            = aws_security_group.ssh.id
  description                  = "SSH from the bastion"
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22
  referenced_security_group_id = aws_security_group.bastion[0].id
}

# The source is part of the key: a rule that names a group is then destroyed before that group. Were it changed in place,
# Terraform would delete the group first, and EC2 refuses to while a rule names it.
resource "aws_vpc_security_group_ingress_rule" "operators" {
  for_each = { for name, console in local.operator_ports : "${name}-${local.bastion ? "from-bastion" : "from-admin"}" => console }

  security_group_id            = each.value.group
  description                  = each.value.about
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = local.bastion ? null : var.admin_cidr
  referenced_security_group_id = local.bastion ? aws_security_group.bastion[0].id : null
}

# --- Inside --------------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "kafka" {
  for_each = local.kafka_clients

  security_group_id            = aws_security_group.kafka.id
  description                  = each.value.about
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.group
}

resource "aws_vpc_security_group_ingress_rule" "zookeeper" {
  for_each = local.zookeeper_clients

  security_group_id            = aws_security_group.zookeeper.id
  description                  = each.value.about
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.group
}

resource "aws_vpc_security_group_ingress_rule" "exporters" {
  for_each = local.exporters

  security_group_id            = each.value.group
  description                  = each.value.about
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = aws_security_group.monitoring.id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(local.interface_endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "functions and their pollers"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.lambdas.id
}

# --- Outwards ------------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_egress_rule" "packages" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.hosts.id
  description       = "packages and archives"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
  cidr_ipv4         = "0.0.0.0/0"
}

# Between hosts the receiver decides, above.
resource "aws_vpc_security_group_egress_rule" "hosts_inside" {
  security_group_id = aws_security_group.hosts.id
  description       = "inside the VPC, where the receiver decides"
  ip_protocol       = "tcp"
  from_port         = 1
  to_port           = 65535
  cidr_ipv4         = var.vpc_cidr
}

resource "aws_vpc_security_group_egress_rule" "lambdas_to_kafka" {
  security_group_id            = aws_security_group.lambdas.id
  description                  = "brokers"
  ip_protocol                  = "tcp"
  from_port                    = 9094
  to_port                      = 9094
  referenced_security_group_id = aws_security_group.kafka.id
}

resource "aws_vpc_security_group_egress_rule" "lambdas_to_dynamodb" {
  security_group_id = aws_security_group.lambdas.id
  description       = "DynamoDB through the gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = aws_vpc_endpoint.dynamodb.prefix_list_id
}

# The way is the key, for the same reason as with the operators' rules.
resource "aws_vpc_security_group_egress_rule" "lambdas_to_services" {
  for_each = toset([local.service_access])

  security_group_id            = aws_security_group.lambdas.id
  description                  = "Lambda, STS and Secrets Manager"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  cidr_ipv4                    = each.key == "nat" ? "0.0.0.0/0" : null
  referenced_security_group_id = each.key == "nat" ? null : aws_security_group.endpoints[0].id
}
