# Secrets that the functions, their pollers and Ansible read: a password for each Kafka user and for each account that the
# hosts have among each other, and the CA's certificate.
#
# Passwords are made outside Terraform and handed over in kafka_passwords and host_passwords, ephemeral variables. They go
# through write-only attributes: no state, no plan, no output holds one. Terraform cannot see a difference then, so it
# writes when secrets_version changes, and only then; until then both may be empty. A new version writes them all, so
# hand over the present ones beside those that change.
#
# The CA's private key is no business of Terraform's: the deploy script keeps it in NAME/kafka-ca-key.

resource "aws_secretsmanager_secret" "user" {
  for_each = local.users

  name        = "${var.name}/kafka/${each.key}"
  description = "Kafka user ${each.key}"

  # A name that waits for its deletion would stand in the way of the next deployment.
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "user" {
  for_each = local.users

  secret_id = aws_secretsmanager_secret.user[each.key].id

  # The provider wants a value on each plan, even when it will not be written. Where it would be, AWS refuses "", and so
  # no secret comes to be without its password.
  secret_string_wo = contains(keys(var.kafka_passwords), each.key) ? jsonencode({
    username = each.key
    password = var.kafka_passwords[each.key]
  }) : ""
  secret_string_wo_version = var.secrets_version
}

locals {
  # The hosts' own accounts and their user names; src/shopstream/aws/ownership.py has the same list.
  accounts = {
    broker             = "broker" # brokers among each other; Kafka's superuser, and so in no topology
    zookeeper_quorum   = "quorum" # members of the ensemble among each other
    zookeeper_client   = "kafka"  # brokers at ZooKeeper
    control_center_web = "admin"  # a person at Control Center
    grafana_admin      = "admin"  # a person at Grafana
  }
}

resource "aws_secretsmanager_secret" "host" {
  for_each = local.accounts

  name                    = "${var.name}/hosts/${each.key}"
  description             = "The hosts' account ${each.key}"
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "host" {
  for_each = local.accounts

  secret_id = aws_secretsmanager_secret.host[each.key].id
  secret_string_wo = contains(keys(var.host_passwords), each.key) ? jsonencode({
    username = each.value
    password = var.host_passwords[each.key]
  }) : ""
  secret_string_wo_version = var.secrets_version
}

resource "aws_secretsmanager_secret" "ca" {
  name                    = "${var.name}/kafka-ca"
  description             = "Certificate of the CA that signs the brokers' certificates"
  recovery_window_in_days = 0
}

# A certificate is public; so it may stand in the state, where Terraform sees when it changes.
resource "aws_secretsmanager_secret_version" "ca" {
  secret_id     = aws_secretsmanager_secret.ca.id
  secret_string = jsonencode({ certificate = var.kafka_ca_certificate })
}
