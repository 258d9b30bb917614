# One VPC with a public and a private subnet in each zone.
#
#   access = "public"   hosts in the public subnets, each with an address of its own (a demo)
#   access = "bastion"  hosts in the private subnets; SSH through one bastion, packages through one NAT gateway
#
# The functions and Lambda's pollers are in the private subnets either way. They reach AWS's own services through
# interface endpoints or through the NAT gateway (var.service_access), and DynamoDB through a gateway endpoint.

data "aws_availability_zones" "available" {
  state            = "available"
  exclude_zone_ids = ["use1-az3"] # an old one, without t3 instances; its letter differs by account

  filter {
    name   = "opt-in-status" # no local zones
    values = ["opt-in-not-required"]
  }
}

locals {
  zones       = slice(data.aws_availability_zones.available.names, 0, var.availability_zone_count)
  zone_number = { for number, zone in local.zones : zone => number }

  # With a bastion there is a NAT gateway anyway, which then costs less than endpoints in every zone.
  service_access      = coalesce(var.service_access, var.access == "bastion" ? "nat" : "endpoints")
  has_nat             = var.access == "bastion" || local.service_access == "nat"
  interface_endpoints = local.service_access == "endpoints" ? toset(["lambda", "secretsmanager", "sts"]) : toset([])
}

resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # private names of the interface endpoints

  tags = { Name = var.name }

  lifecycle {
    precondition {
      condition     = length(data.aws_availability_zones.available.names) >= var.availability_zone_count
      error_message = "${var.region} offers ${length(data.aws_availability_zones.available.names)} zones, and availability_zone_count asks for ${var.availability_zone_count}: lower it or choose another region."
    }
  }
}

# Every VPC comes with a group that lets its members talk to each other. Nothing uses it; so it allows nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${var.name}-default-closed" }
}

# 16 equal parts: public subnets from the first on, private ones from the ninth.
resource "aws_subnet" "public" {
  for_each = local.zone_number

  vpc_id            = aws_vpc.main.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value)

  tags = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = local.zone_number

  vpc_id            = aws_vpc.main.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value + 8)

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id

  tags = { Name = var.name }
}

# --- Routes --------------------------------------------------------------------------------------------------------

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${var.name}-private" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

# --- NAT: one, in the first zone ------------------------------------------------------------------------------------

resource "aws_eip" "nat" {
  count = local.has_nat ? 1 : 0

  domain = "vpc"

  tags = { Name = "${var.name}-nat" }

  depends_on = [aws_internet_gateway.main]
}

resource "aws_nat_gateway" "main" {
  count = local.has_nat ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[local.zones[0]].id
  private_ip    = cidrhost(aws_subnet.public[local.zones[0]].cidr_block, 61) # no host's: kafka.tf gives those theirs

  tags = { Name = var.name }

  lifecycle {
    # One that was made with another address keeps it: a new one would cut off whoever goes through it.
    ignore_changes = [private_ip]
  }
}

resource "aws_route" "nat" {
  count = local.has_nat ? 1 : 0

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.main[0].id
}

# --- Endpoints -----------------------------------------------------------------------------------------------------

# Free, and it keeps the join's reads and writes off the NAT gateway.
resource "aws_vpc_endpoint" "dynamodb" {
  vpc_id            = aws_vpc.main.id
  service_name      = "com.amazonaws.${var.region}.dynamodb"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]

  tags = { Name = "${var.name}-dynamodb" }
}

# What Lambda's pollers and functions call without a way out ("Configure network security" in Lambda's guide to
# self-managed Kafka): lambda to invoke, sts to assume the role, secretsmanager for the credentials.
resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_endpoints

  vpc_id              = aws_vpc.main.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints[0].id]

  tags = { Name = "${var.name}-${each.key}" }

  # With a bastion the hosts are in the same subnets: no endpoint must be given an address before these have theirs.
  depends_on = [aws_instance.host]
}
