# What Ansible's inventory, the scripts and a reader need to know. No secret stands here, only where it is.

output "inventory" {
  description = "The hosts by group, as Ansible wants them; public_ip is null where a host has none."
  value = {
    for group in ["zookeeper", "kafka", "control_center", "monitoring", "bastion"] : group => [
      for host in concat(values(aws_instance.host), aws_instance.bastion) : {
        name          = host.tags.Name
        private_ip    = host.private_ip
        public_ip     = local.bastion && group != "bastion" ? null : host.public_ip
        instance_type = host.instance_type
      } if host.tags.Role == group
    ]
  }
}

output "deployment" {
  description = "The deployment's name; secrets begin with it."
  value       = var.name
}

output "region" {
  description = "Where its secrets are."
  value       = var.region
}

output "vpc_cidr" {
  description = "The network that the hosts' private addresses lie in."
  value       = var.vpc_cidr
}

output "bastion_address" {
  description = "Where to go in with SSH, when access is \"bastion\"; else null."
  value       = one(aws_instance.bastion[*].public_ip)
}

output "zookeeper_private_ips" {
  description = "Private addresses of ZooKeeper, zookeeper1 first."
  value       = [for name in keys(local.zookeeper) : aws_instance.host[name].private_ip]
}

output "kafka_private_ips" {
  description = "Private addresses of the brokers, kafka1 first."
  value       = local.kafka_private_ips
}

output "bootstrap_servers" {
  description = "The brokers as the services see them: SASL_SSL, host:port,host:port."
  value       = local.bootstrap_servers
}

output "functions" {
  description = "The function's name of each service."
  value       = { for service, function in aws_lambda_function.service : service => function.function_name }
}

output "event_source_mappings" {
  description = "What feeds which topic to which function, by consumer group."
  value = [
    for group, mapping in aws_lambda_event_source_mapping.topic : {
      uuid     = mapping.uuid
      function = aws_lambda_function.service[local.mappings[group].service].function_name
      topic    = local.mappings[group].topic
      group    = group
    }
  ]
}

output "state_tables" {
  description = "The DynamoDB table of each service that keeps state."
  value       = { for service, table in aws_dynamodb_table.state : service => table.name }
}

output "artifacts_bucket" {
  description = "The bucket of the functions' zips."
  value       = aws_s3_bucket.artifacts.bucket
}

output "vpc_id" {
  description = "The VPC; the check after a teardown looks for what is left in it."
  value       = aws_vpc.main.id
}

output "secret_arns" {
  description = "Where each Kafka user's password and the CA's certificate (key kafka-ca) are kept."
  value = merge(
    { for user, secret in aws_secretsmanager_secret.user : user => secret.arn },
    { kafka-ca = aws_secretsmanager_secret.ca.arn },
  )
}

output "host_secret_arns" {
  description = "Where the passwords of the hosts' own accounts are kept."
  value       = { for account, secret in aws_secretsmanager_secret.host : account => secret.arn }
}

output "secrets_version" {
  description = "The version of the passwords that this deployment has written."
  value       = var.secrets_version
}
