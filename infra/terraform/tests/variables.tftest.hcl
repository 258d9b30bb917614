# Each variable refuses what AWS would refuse later, or what would be dangerous, before anything is asked of AWS. A run
# hands a bad value to many variables at once, and each of them has to refuse its own.
# A bool has no condition beyond its type.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  topology_file        = "tests/fixtures/topology.yaml"
  admin_cidr           = "203.0.113.7/32"
  ssh_public_key       = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5c2tleXRoYXRub2JvZHlob2xkcw test"
  kafka_ca_certificate = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----"
  zips_dir             = "tests/fixtures/zips"
  kafka_passwords      = {}
  host_passwords       = {}
}

run "first_bad_values" {
  command = plan

  variables {
    name                     = "Shop"
    region                   = "narnia"
    admin_cidr               = "0.0.0.0/0"
    access                   = "open"
    service_access           = "vpn"
    vpc_cidr                 = "10.20.0.0/15"
    availability_zone_count  = 1
    zookeeper_count          = 4
    kafka_count              = 2
    instance_types           = { kafka = "micro" }
    volume_sizes             = { kafka = 4 }
    ami_ssm_parameter        = "ami-0123456789abcdef0"
    ssh_public_key           = "-----BEGIN OPENSSH PRIVATE KEY-----"
    zips_dir                 = "tests/mocks"
    lambda_architecture      = "sparc"
    lambda_memory_mb         = 64
    lambda_timeout_seconds   = 841
    poller_mode              = "push"
    provisioned_pollers      = { minimum = 0 }
    schedule_expression      = "rate(1 minutes)"
    orders_per_invocation    = 0
    kafka_passwords          = { watcher = "long-enough-to-be-a-password" }
    host_passwords           = { broker = "long-enough-to-be-a-password" }
    secrets_version          = 0
    kafka_ca_certificate     = ""
    log_retention_days       = 10
    offset_lag_alarm_records = -1
    notification_email       = "nobody"
    monthly_budget_usd       = -1
  }

  expect_failures = [
    var.name,
    var.region,
    var.admin_cidr,
    var.access,
    var.service_access,
    var.vpc_cidr,
    var.availability_zone_count,
    var.zookeeper_count,
    var.kafka_count,
    var.instance_types,
    var.volume_sizes,
    var.ami_ssm_parameter,
    var.ssh_public_key,
    var.zips_dir,
    var.lambda_architecture,
    var.lambda_memory_mb,
    var.lambda_timeout_seconds,
    var.poller_mode,
    var.provisioned_pollers,
    var.schedule_expression,
    var.orders_per_invocation,
    var.kafka_passwords,
    var.host_passwords,
    var.secrets_version,
    var.kafka_ca_certificate,
    var.log_retention_days,
    var.offset_lag_alarm_records,
    var.notification_email,
    var.monthly_budget_usd,
  ]
}

run "second_bad_values" {
  command = plan

  variables {
    name                    = "a"
    admin_cidr              = "::/0"
    vpc_cidr                = "10.20.0.0/21"
    availability_zone_count = 7
    zookeeper_count         = 1
    kafka_count             = 10
    volume_sizes            = { kafka = 10.5 }
    ssh_public_key          = "ecdsa-sha2-nistp256 AAAA me"
    lambda_memory_mb        = 512.5
    lambda_timeout_seconds  = 5
    provisioned_pollers     = { minimum = 4, maximum = 3 }
    schedule_expression     = "rate(5 minute)"
    orders_per_invocation   = 1.5
    kafka_passwords         = { till = "short", bookkeeper = "short", greeter = "short", root = "short", watcher = "short" }
    host_passwords          = { broker = "short", zookeeper_quorum = "short", zookeeper_client = "short", control_center_web = "short", grafana_admin = "short" }
    secrets_version         = 1.5
    kafka_ca_certificate    = "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----"
  }

  expect_failures = [
    var.name,
    var.admin_cidr,
    var.vpc_cidr,
    var.availability_zone_count,
    var.zookeeper_count,
    var.kafka_count,
    var.volume_sizes,
    var.ssh_public_key,
    var.lambda_memory_mb,
    var.lambda_timeout_seconds,
    var.provisioned_pollers,
    var.schedule_expression,
    var.orders_per_invocation,
    var.kafka_passwords,
    var.host_passwords,
    var.secrets_version,
    var.kafka_ca_certificate,
  ]
}

run "third_bad_values" {
  command = plan

  variables {
    name                    = "shop-"
    admin_cidr              = "2001:db8::/32"
    vpc_cidr                = "10.20.3.0/16"
    availability_zone_count = 2.5
    ssh_public_key          = ""
    schedule_expression     = "every minute"
    kafka_ca_certificate    = "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----"
  }

  expect_failures = [
    var.name,
    var.admin_cidr,
    var.vpc_cidr,
    var.availability_zone_count,
    var.ssh_public_key,
    var.schedule_expression,
    var.kafka_ca_certificate,
  ]
}

run "fourth_bad_values" {
  command = plan

  variables {
    name                = "a-name-that-is-far-too-long"
    admin_cidr          = "32.0.0.0/7"
    vpc_cidr            = "2001:db8::/56"
    schedule_expression = "cron(0 12 * * ?)"
  }

  expect_failures = [
    var.name,
    var.admin_cidr,
    var.vpc_cidr,
    var.schedule_expression,
  ]
}

run "fifth_bad_values" {
  command = plan

  variables {
    name       = "sg-shop"
    admin_cidr = "203.0.113.7"
  }

  expect_failures = [
    var.name,
    var.admin_cidr,
  ]
}

run "sixth_bad_values" {
  command = plan

  variables {
    admin_cidr = "203.0.113.7/24"
  }

  expect_failures = [
    var.admin_cidr,
  ]
}

run "seventh_bad_values" {
  command = plan

  variables {
    admin_cidr = "everyone"
  }

  expect_failures = [
    var.admin_cidr,
  ]
}

run "eighth_bad_values" {
  command = plan

  variables {
    admin_cidr = ""
  }

  expect_failures = [
    var.admin_cidr,
  ]
}

run "no_topology" {
  command = plan

  variables {
    topology_file = "no/such/file.yaml"
  }

  expect_failures = [var.topology_file]
}

run "another_file_than_a_topology" {
  command = plan

  variables {
    topology_file = "versions.tf"
  }

  expect_failures = [var.topology_file]
}
