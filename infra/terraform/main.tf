# The root module. What it builds stands in files named after it:
#
#   network.tf        VPC, subnets, gateways, routes, endpoints
#   security.tf       who may talk to whom on which port
#   kafka.tf          ZooKeeper, Kafka, Control Center, monitoring and bastion instances
#   lambdas.tf        for each service a function, its log group and its event source mappings; schedule; tables
#   iam.tf            one role for each function
#   secrets.tf        passwords of Kafka's users and of the hosts' accounts (write-only), the CA's certificate
#   observability.tf  alarms, dashboard, budget
#   variables.tf      every setting, with its meaning and its limits
#   outputs.tf        what Ansible and the scripts need to know
#   versions.tf       Terraform and provider; where the state lies
#
# This file: the provider, what is read from topology.yaml, and the bucket of the functions' zips.

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project    = "shopstream"
      Deployment = var.name
      ManagedBy  = "terraform"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# Everything about services, topics and users comes from topology.yaml, as `shopstream topology check` accepts it.
locals {
  # A default cannot name path.module, so null stands for the project's own files.
  topology_file = coalesce(var.topology_file, "${path.module}/../../topology.yaml")

  # The path of a zip stands in the state. Written without "./", it is the same as in zips_dir from the deploy script.
  zips_dir = coalesce(var.zips_dir, trimprefix("${path.module}/../../build/lambdas", "./"))

  topology  = yamldecode(file(local.topology_file))
  services  = local.topology.services
  users     = toset(concat(keys(local.topology.services), keys(local.topology.operators)))
  sources   = { for name, service in local.services : name => service if try(service.progress, null) != null }
  consumers = { for name, service in local.services : name => service if length(try(service.consumes, [])) > 0 }

  # One state table for each service that joins, named after its changelog topic.
  state_tables = { for name, service in local.services : name => service.state if try(service.state, null) != null }

  # One mapping for each topic that a service consumes: AWS takes one topic for each mapping, and its consumer group
  # must be unique. The key is that group's name.
  mappings = merge([
    for name, service in local.consumers : {
      for topic in service.consumes : "${name}.${topic}" => { service = name, topic = topic }
    }
  ]...)

  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
}

# --- The functions' zips -------------------------------------------------------------------------------------------

resource "aws_s3_bucket" "artifacts" {
  bucket = "${var.name}-artifacts-${local.account_id}"

  # It holds nothing but zips that scripts/build_all_zips.sh makes again, byte for byte.
  force_destroy = true
}

resource "aws_s3_bucket_ownership_controls" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.artifacts.arn, "${aws_s3_bucket.artifacts.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 refuses two of these changes to one bucket at the same time.
  depends_on = [aws_s3_bucket_public_access_block.artifacts]
}

resource "aws_s3_object" "zip" {
  for_each = local.services

  bucket = aws_s3_bucket.artifacts.id
  key    = "lambdas/${each.key}.zip"
  source = "${local.zips_dir}/${each.key}.zip"

  # Not `etag`: that of an upload in parts is no MD5, and would differ for ever.
  source_hash = filemd5("${local.zips_dir}/${each.key}.zip")

  lifecycle {
    precondition {
      condition     = fileexists("${local.zips_dir}/${each.key}.zip")
      error_message = "There is no ${each.key}.zip in ${local.zips_dir}. Build the zips with scripts/build_all_zips.sh, or name their directory in zips_dir."
    }
  }

  depends_on = [
    aws_s3_bucket_versioning.artifacts, # so that each zip has a version to name
    aws_s3_bucket_server_side_encryption_configuration.artifacts,
  ]
}
