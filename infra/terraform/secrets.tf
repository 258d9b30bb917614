# Secrets that the functions, their pollers and Ansible read: a password for each Kafka user, and the CA's certificate.
#
# Passwords are made outside Terraform and handed over in kafka_passwords, an ephemeral variable. They go through
# write-only attributes: no state, no plan, no output holds one. Terraform cannot see a difference then, so it writes
# when secrets_version changes, and only then; until then kafka_passwords may be empty. A new version writes them all,
# so hand over the present ones beside those that change.
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
