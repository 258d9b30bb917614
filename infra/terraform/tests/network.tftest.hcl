# Who may reach whom, in both access modes: nothing is open to the world, and each port only to those who need it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  admin_cidr           = "203.0.113.7/32"
  ssh_public_key       = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5c2tleXRoYXRub2JvZHlob2xkcw test"
  kafka_ca_certificate = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----"
  zips_dir             = "tests/fixtures/zips"
  kafka_passwords      = {}
  host_passwords       = {}
}

run "public" {
  assert {
    condition = alltrue([for rule in concat(
      [aws_vpc_security_group_ingress_rule.ssh_from_admin],
      values(aws_vpc_security_group_ingress_rule.operators),
      ) : rule.cidr_ipv4 == "203.0.113.7/32"
    ])
    error_message = "SSH or a console is open to others than admin_cidr."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.ssh_from_admin.security_group_id == aws_security_group.ssh.id && aws_vpc_security_group_ingress_rule.ssh_from_admin.from_port == 22
    error_message = "The SSH group does not admit SSH."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.operators : rule.from_port]) == toset([9021, 3000, 9090])
    error_message = "Not Control Center, Grafana and Prometheus are open to admin_cidr."
  }

  # A rule that changed its source in place would still name a group while Terraform deletes it: EC2 refuses that.
  assert {
    condition     = alltrue([for key in keys(aws_vpc_security_group_ingress_rule.operators) : endswith(key, "-from-admin")]) && keys(aws_vpc_security_group_egress_rule.lambdas_to_services) == ["endpoints"]
    error_message = "A rule does not go before the group that it names."
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 0 && length(aws_eip.nat) == 0 && length(aws_instance.bastion) == 0 && output.bastion_address == null
    error_message = "A demo pays for a NAT gateway or a bastion."
  }

  assert {
    condition     = alltrue([for host in aws_instance.host : host.associate_public_ip_address && contains([for subnet in aws_subnet.public : subnet.id], host.subnet_id)])
    error_message = "A host cannot be reached from outside."
  }

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["lambda", "secretsmanager", "sts"] && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && length(endpoint.subnet_ids) == 3])
    error_message = "Functions and pollers have no way to Lambda, STS or Secrets Manager."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.lambdas_to_services["endpoints"].referenced_security_group_id == aws_security_group.endpoints[0].id && aws_vpc_security_group_egress_rule.lambdas_to_services["endpoints"].cidr_ipv4 == null
    error_message = "Functions may go further than the endpoints."
  }

  assert {
    condition = alltrue([for rule in concat(
      values(aws_vpc_security_group_ingress_rule.kafka),
      values(aws_vpc_security_group_ingress_rule.zookeeper),
      values(aws_vpc_security_group_ingress_rule.exporters),
      aws_vpc_security_group_ingress_rule.endpoints,
      ) : rule.cidr_ipv4 == null && rule.cidr_ipv6 == null && rule.prefix_list_id == null && rule.from_port == rule.to_port && rule.ip_protocol == "tcp"
    ])
    error_message = "Kafka, ZooKeeper, an exporter or an endpoint is open to addresses instead of groups, or on more than one port."
  }

  assert {
    condition = toset([for rule in aws_vpc_security_group_ingress_rule.kafka : "${rule.security_group_id} ${rule.from_port} ${rule.referenced_security_group_id}"]) == toset([
      "${aws_security_group.kafka.id} 9092 ${aws_security_group.kafka.id}",
      "${aws_security_group.kafka.id} 9093 ${aws_security_group.control_center.id}",
      "${aws_security_group.kafka.id} 9093 ${aws_security_group.monitoring.id}",
      "${aws_security_group.kafka.id} 9094 ${aws_security_group.lambdas.id}",
      "${aws_security_group.kafka.id} 9094 ${aws_security_group.monitoring.id}",
    ])
    error_message = "Kafka is not open to exactly the brokers, Control Center, monitoring, and the functions."
  }

  assert {
    condition = toset([for rule in aws_vpc_security_group_ingress_rule.zookeeper : "${rule.security_group_id} ${rule.from_port} ${rule.referenced_security_group_id}"]) == toset([
      "${aws_security_group.zookeeper.id} 2182 ${aws_security_group.kafka.id}",
      "${aws_security_group.zookeeper.id} 2888 ${aws_security_group.zookeeper.id}",
      "${aws_security_group.zookeeper.id} 3888 ${aws_security_group.zookeeper.id}",
    ])
    error_message = "ZooKeeper is not open to exactly the brokers and itself."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.exporters : rule.referenced_security_group_id == aws_security_group.monitoring.id])
    error_message = "Exporters answer to others than monitoring."
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The VPC's default group allows something."
  }

  assert {
    condition = toset([for rule in concat(
      values(aws_vpc_security_group_egress_rule.packages),
      values(aws_vpc_security_group_egress_rule.lambdas_to_services),
      [
        aws_vpc_security_group_egress_rule.hosts_inside,
        aws_vpc_security_group_egress_rule.lambdas_to_kafka,
        aws_vpc_security_group_egress_rule.lambdas_to_dynamodb,
      ]) : rule.from_port if rule.cidr_ipv4 == "0.0.0.0/0"
    ]) == toset([80, 443])
    error_message = "Something may leave the VPC by other ports than 80 and 443."
  }

  assert {
    condition     = keys(output.inventory) == ["bastion", "control_center", "kafka", "monitoring", "zookeeper"] && [for hosts in output.inventory : length(hosts)] == [0, 1, 3, 1, 3]
    error_message = "The inventory has other groups or numbers than Ansible expects."
  }

  assert {
    condition     = [for host in output.inventory.kafka : "${host.name} ${host.private_ip} ${host.instance_type}"] == ["kafka1 10.20.0.21 t2.micro", "kafka2 10.20.16.22 t2.micro", "kafka3 10.20.32.23 t2.micro"]
    error_message = "The brokers are not kafka1 to kafka3, one in each zone, at their fixed addresses."
  }

  assert {
    condition     = output.zookeeper_private_ips == ["10.20.0.11", "10.20.16.12", "10.20.32.13"] && output.bootstrap_servers == "10.20.0.21:9094,10.20.16.22:9094,10.20.32.23:9094"
    error_message = "Addresses moved: certificates and clients name them."
  }

  assert {
    condition = alltrue([for host in aws_instance.host : (
      contains(host.vpc_security_group_ids, aws_security_group.ssh.id)
      && host.metadata_options[0].http_tokens == "required"
      && host.root_block_device[0].encrypted && host.root_block_device[0].volume_type == "gp3"
    )])
    error_message = "A host lacks the SSH group, IMDSv2 or an encrypted gp3 disk."
  }

  assert {
    condition = alltrue([for host in aws_instance.host : (
      contains(host.vpc_security_group_ids, aws_security_group.kafka.id) == (host.tags.Role == "kafka")
      && contains(host.vpc_security_group_ids, aws_security_group.zookeeper.id) == (host.tags.Role == "zookeeper")
    )])
    error_message = "A host is in a group that is not its role's."
  }
}

run "other_hosts" {
  variables {
    availability_zone_count = 2
    zookeeper_count         = 5
    kafka_count             = 4
    instance_types          = { kafka = "t3.micro" }
    vpc_cidr                = "10.99.0.0/20"
  }

  assert {
    condition     = [for host in output.inventory.kafka : "${host.private_ip} ${host.instance_type}"] == ["10.99.0.21 t3.micro", "10.99.1.22 t3.micro", "10.99.0.23 t3.micro", "10.99.1.24 t3.micro"]
    error_message = "The brokers are not what was asked for."
  }

  assert {
    condition     = length(output.zookeeper_private_ips) == 5 && output.inventory.zookeeper[0].instance_type == "t2.micro" && length(aws_subnet.private) == 2
    error_message = "ZooKeeper or the subnets are not what was asked for."
  }
}

run "bastion" {
  variables {
    access = "bastion"
  }

  assert {
    condition     = alltrue([for host in concat(values(aws_instance.host), aws_instance.bastion) : host.private_ip != aws_nat_gateway.main[0].private_ip]) && aws_nat_gateway.main[0].private_ip == "10.20.0.61"
    error_message = "The NAT gateway has no address of its own, and may be given a host's."
  }

  assert {
    condition     = alltrue([for host in aws_instance.host : contains([for subnet in aws_subnet.private : subnet.id], host.subnet_id)]) && !anytrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch])
    error_message = "A host has an address of its own, or is not in a private subnet."
  }

  assert {
    condition     = alltrue([for group in ["zookeeper", "kafka", "control_center", "monitoring"] : alltrue([for host in output.inventory[group] : host.public_ip == null])])
    error_message = "The inventory names a public address that does not exist."
  }

  assert {
    condition     = length(output.inventory.bastion) == 1 && output.bastion_address == output.inventory.bastion[0].public_ip && output.bastion_address != null
    error_message = "There is no way in."
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.ssh_from_admin.security_group_id == aws_security_group.bastion[0].id
      && aws_vpc_security_group_ingress_rule.ssh_from_admin.cidr_ipv4 == "203.0.113.7/32"
      && aws_vpc_security_group_ingress_rule.ssh_from_bastion[0].security_group_id == aws_security_group.ssh.id
      && aws_vpc_security_group_ingress_rule.ssh_from_bastion[0].referenced_security_group_id == aws_security_group.bastion[0].id
      && aws_vpc_security_group_ingress_rule.ssh_from_bastion[0].cidr_ipv4 == null
    )
    error_message = "SSH does not go from admin_cidr to the bastion, and from there to the hosts."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.operators : rule.cidr_ipv4 == null && rule.referenced_security_group_id == aws_security_group.bastion[0].id])
    error_message = "A console is open past the bastion."
  }

  assert {
    condition     = alltrue([for key in keys(aws_vpc_security_group_ingress_rule.operators) : endswith(key, "-from-bastion")]) && keys(aws_vpc_security_group_egress_rule.lambdas_to_services) == ["nat"]
    error_message = "A rule does not go before the group that it names."
  }

  assert {
    condition = (
      contains(aws_instance.bastion[0].vpc_security_group_ids, aws_security_group.ssh.id)
      && contains(aws_instance.bastion[0].vpc_security_group_ids, aws_security_group.bastion[0].id)
      && aws_instance.bastion[0].metadata_options[0].http_tokens == "required"
      && aws_instance.bastion[0].root_block_device[0].encrypted
    )
    error_message = "The bastion is less protected than the hosts behind it, or not open to SSH."
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && aws_route.nat[0].nat_gateway_id == aws_nat_gateway.main[0].id && length(aws_vpc_endpoint.interface) == 0
    error_message = "Hosts have no way to their packages, or the functions' way is paid for twice."
  }

  assert {
    condition     = output.kafka_private_ips == ["10.20.128.21", "10.20.144.22", "10.20.160.23"]
    error_message = "Addresses moved: certificates and clients name them."
  }
}

run "bastion_with_endpoints" {
  variables {
    access         = "bastion"
    service_access = "endpoints"
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && length(aws_vpc_endpoint.interface) == 3 && aws_vpc_security_group_egress_rule.lambdas_to_services["endpoints"].cidr_ipv4 == null
    error_message = "service_access = endpoints is not what was asked for."
  }
}

run "public_with_nat" {
  variables {
    service_access = "nat"
  }

  assert {
    condition     = alltrue([for host in concat(values(aws_instance.host), aws_instance.bastion) : host.private_ip != aws_nat_gateway.main[0].private_ip]) && aws_nat_gateway.main[0].private_ip == "10.20.0.61"
    error_message = "The NAT gateway has no address of its own, and may be given a host's."
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && length(aws_vpc_endpoint.interface) == 0 && aws_vpc_security_group_egress_rule.lambdas_to_services["nat"].cidr_ipv4 == "0.0.0.0/0" && aws_vpc_security_group_egress_rule.lambdas_to_services["nat"].from_port == 443
    error_message = "service_access = nat is not what was asked for."
  }
}
