# The hosts: 3 ZooKeeper, 3 Kafka, Control Center, monitoring, and with access = "bastion" the bastion.
# Terraform gives them addresses; infra/ansible makes them what they are.

data "aws_ssm_parameter" "ami" {
  name = var.ami_ssm_parameter
}

locals {
  subnets   = local.bastion ? aws_subnet.private : aws_subnet.public
  zookeeper = { for n in range(1, var.zookeeper_count + 1) : "zookeeper${n}" => { role = "zookeeper", number = n, host = 10 + n } }
  kafka     = { for n in range(1, var.kafka_count + 1) : "kafka${n}" => { role = "kafka", number = n, host = 20 + n } }
  others = {
    control-center = { role = "control_center", number = 1, host = 31 }
    monitoring     = { role = "monitoring", number = 2, host = 41 }
  }

  # Members of an ensemble go round the zones. The private address is fixed: it stands in certificates and in every
  # client's configuration, so a host that is replaced must come back with it.
  hosts = {
    for name, host in merge(local.zookeeper, local.kafka, local.others) : name => merge(host, {
      zone = local.zones[(host.number - 1) % length(local.zones)]
    })
  }

  roles = {
    zookeeper      = { type = var.instance_types.zookeeper, disk = var.volume_sizes.zookeeper, group = aws_security_group.zookeeper.id }
    kafka          = { type = var.instance_types.kafka, disk = var.volume_sizes.kafka, group = aws_security_group.kafka.id }
    control_center = { type = var.instance_types.control_center, disk = var.volume_sizes.control_center, group = aws_security_group.control_center.id }
    monitoring     = { type = var.instance_types.monitoring, disk = var.volume_sizes.monitoring, group = aws_security_group.monitoring.id }
  }

  # Asked of the instances: functions in the same subnets must not be given an address before these have theirs.
  kafka_private_ips = [for name in keys(local.kafka) : aws_instance.host[name].private_ip]
  bootstrap_servers = join(",", [for ip in local.kafka_private_ips : "${ip}:9094"])
}

resource "aws_key_pair" "admin" {
  key_name   = "${var.name}-admin"
  public_key = trimspace(var.ssh_public_key)
}

resource "aws_instance" "host" {
  for_each = local.hosts

  ami                         = data.aws_ssm_parameter.ami.insecure_value
  instance_type               = local.roles[each.value.role].type
  key_name                    = aws_key_pair.admin.key_name
  subnet_id                   = local.subnets[each.value.zone].id
  private_ip                  = cidrhost(local.subnets[each.value.zone].cidr_block, each.value.host)
  associate_public_ip_address = local.bastion ? null : true # private subnets give none
  vpc_security_group_ids      = [aws_security_group.ssh.id, aws_security_group.hosts.id, local.roles[each.value.role].group]

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required" # IMDSv2
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = local.roles[each.value.role].disk
    encrypted   = true
  }

  tags = {
    Name = each.key
    Role = each.value.role
  }

  lifecycle {
    # The parameter moves with every new image. A host is replaced when its operator says so: -replace. One that has been
    # stopped has no public address, which the provider would take for a reason to replace it, with its data.
    ignore_changes = [ami, associate_public_ip_address]
  }

  # Packages are fetched as soon as Ansible logs in.
  depends_on = [aws_route.internet, aws_route.nat]
}

resource "aws_instance" "bastion" {
  count = local.bastion ? 1 : 0

  ami                         = data.aws_ssm_parameter.ami.insecure_value
  instance_type               = var.instance_types.bastion
  key_name                    = aws_key_pair.admin.key_name
  subnet_id                   = aws_subnet.public[local.zones[0]].id
  private_ip                  = cidrhost(aws_subnet.public[local.zones[0]].cidr_block, 51)
  associate_public_ip_address = true
  vpc_security_group_ids      = [aws_security_group.ssh.id, aws_security_group.hosts.id, aws_security_group.bastion[0].id]

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required" # IMDSv2
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.volume_sizes.bastion
    encrypted   = true
  }

  tags = {
    Name = "bastion"
    Role = "bastion"
  }

  lifecycle {
    ignore_changes = [ami, associate_public_ip_address]
  }

  depends_on = [aws_route.internet]
}
