# The provider's version stands here, exact, and not in a .terraform.lock.hcl: a lock file made on one platform holds
# that platform's checksum only, and would refuse the others.
#
# No backend block: the state is a local file unless backend_override.tf says otherwise (see
# backend_override.tf.example). A `backend "s3" {}` here would force a bucket on everyone.
terraform {
  required_version = ">= 1.11" # ephemeral variables, write-only attributes, S3 locking without a table

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
