# Every setting. Without a default: admin_cidr, ssh_public_key, kafka_ca_certificate.

# --- The deployment ------------------------------------------------------------------------------------------------

variable "name" {
  description = "The deployment's name. Every name in AWS begins with it; the consumer groups do not, and AWS takes each of those once in an account and region: a second deployment needs another region or account."
  type        = string
  default     = "shopstream"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 24 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen: it becomes part of a bucket's name."
  }

  validation {
    condition     = !can(regex("^(sg-|xn--|sthree-|amzn-s3-demo-)", var.name))
    error_message = "name must not begin with sg-, which EC2 refuses for security groups, or with xn--, sthree- or amzn-s3-demo-, which S3 refuses for buckets."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "us-east-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2,3}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region's code, like us-east-1."
  }
}

variable "topology_file" {
  description = "The topology that services, users, tables and mappings are derived from. null: the project's topology.yaml."
  type        = string
  default     = null

  validation {
    condition     = var.topology_file == null || can(yamldecode(file(var.topology_file)).services)
    error_message = "topology_file must be a YAML file with services. Check it with `shopstream topology check`."
  }
}

# --- Network -------------------------------------------------------------------------------------------------------

variable "admin_cidr" {
  description = "The IPv4 network that SSH (and without a bastion Control Center, Grafana and Prometheus) is open to. Your own address: 203.0.113.7/32."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.admin_cidr))
    error_message = "admin_cidr must be an IPv4 network, like 203.0.113.7/32 for one address. IPv6 is not supported."
  }

  validation {
    condition     = !can(cidrnetmask(var.admin_cidr)) || try(tonumber(split("/", var.admin_cidr)[1]), 0) >= 8
    error_message = "admin_cidr would open SSH to a large part of the internet. Name the network that you work from; 203.0.113.7/32 is one address. Wider than /8 is refused."
  }

  validation {
    condition     = !can(cidrnetmask(var.admin_cidr)) || try(cidrhost(var.admin_cidr, 0) == split("/", var.admin_cidr)[0], false)
    error_message = "admin_cidr has bits set behind its prefix; AWS would store another network. Write the network's first address (203.0.113.0/24), or /32 for one address."
  }
}

variable "access" {
  description = "public: every host has an address of its own, open to admin_cidr only (a demo). bastion: hosts in private subnets, one bastion, one NAT gateway."
  type        = string
  default     = "public"
  nullable    = false

  validation {
    condition     = contains(["public", "bastion"], var.access)
    error_message = "access must be \"public\" or \"bastion\"."
  }
}

variable "service_access" {
  description = "How functions and pollers reach Lambda, STS and Secrets Manager: \"endpoints\" (stays inside AWS, billed for each zone) or \"nat\". null: endpoints when access is public, nat when it is bastion, which has a NAT gateway anyway."
  type        = string
  default     = null

  validation {
    condition     = var.service_access == null || contains(["endpoints", "nat"], coalesce(var.service_access, "endpoints"))
    error_message = "service_access must be \"endpoints\", \"nat\" or null."
  }
}

variable "vpc_cidr" {
  description = "The VPC's IPv4 network. It is cut into 16 equal subnets."
  type        = string
  default     = "10.20.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try(cidrhost(var.vpc_cidr, 0) == split("/", var.vpc_cidr)[0], false)
    error_message = "vpc_cidr must be an IPv4 network without bits behind its prefix, like 10.20.0.0/16."
  }

  validation {
    condition     = !can(cidrnetmask(var.vpc_cidr)) || try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 20, false)
    error_message = "vpc_cidr must be between /16 (the most that AWS takes) and /20 (the least that 16 subnets with their fixed addresses need)."
  }
}

variable "availability_zone_count" {
  description = "How many zones subnets and hosts are spread over. With three, the loss of one leaves ZooKeeper its majority."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([2, 3, 4, 5, 6], var.availability_zone_count)
    error_message = "availability_zone_count must be a whole number from 2 to 6."
  }
}

# --- Hosts ---------------------------------------------------------------------------------------------------------

variable "zookeeper_count" {
  description = "Members of the ZooKeeper ensemble."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([3, 5], var.zookeeper_count)
    error_message = "zookeeper_count must be 3 or 5: an even number survives no more failures than the odd one below it."
  }
}

variable "kafka_count" {
  description = "Brokers. Topics are replicated three times."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([3, 4, 5, 6, 7, 8, 9], var.kafka_count)
    error_message = "kafka_count must be a whole number from 3 (each topic has three replicas) to 9."
  }
}

variable "instance_types" {
  description = "EC2 instance type of each kind of host; x86_64. Control Center needs 8 GiB of memory."
  type = object({
    zookeeper      = optional(string, "t2.micro")
    kafka          = optional(string, "t2.micro")
    control_center = optional(string, "t3.large")
    monitoring     = optional(string, "t3.small")
    bastion        = optional(string, "t3.micro")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for type in values(var.instance_types) : can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", type))])
    error_message = "instance_types must name EC2 instance types, like t3.micro. Found: ${join(", ", values(var.instance_types))}."
  }
}

variable "volume_sizes" {
  description = "Size of each kind of host's disk, GiB (gp3, encrypted)."
  type = object({
    zookeeper      = optional(number, 10)
    kafka          = optional(number, 20)
    control_center = optional(number, 30)
    monitoring     = optional(number, 20)
    bastion        = optional(number, 8)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for size in values(var.volume_sizes) : size == floor(size) && size >= 8 && size <= 16384])
    error_message = "volume_sizes must be whole numbers of GiB from 8 (the image's own size) to 16384."
  }
}

variable "ami_ssm_parameter" {
  description = "The public SSM parameter that names the image: Debian 12 for x86_64. Hosts keep the image that they were made from."
  type        = string
  default     = "/aws/service/debian/release/12/latest/amd64"
  nullable    = false

  validation {
    condition     = startswith(var.ami_ssm_parameter, "/")
    error_message = "ami_ssm_parameter must be a parameter's full name, like /aws/service/debian/release/12/latest/amd64."
  }
}

variable "ssh_public_key" {
  description = "The public key that logs in to the hosts as admin, in OpenSSH's one-line format."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$", trimspace(var.ssh_public_key)))
    error_message = "ssh_public_key must be one line that begins with ssh-ed25519 or ssh-rsa, as in ~/.ssh/id_ed25519.pub. EC2 takes no other kinds."
  }
}

# --- Functions -----------------------------------------------------------------------------------------------------

variable "zips_dir" {
  description = "Where scripts/build_all_zips.sh has put <service>.zip. null: build/lambdas of the project. The path stands in the state: another one is a change, whatever the zips hold."
  type        = string
  default     = null

  validation {
    condition     = var.zips_dir == null || length(fileset(coalesce(var.zips_dir, "."), "*.zip")) > 0
    error_message = "zips_dir holds no zip. Build them with scripts/build_all_zips.sh."
  }
}

variable "lambda_architecture" {
  description = "What the zips were built for."
  type        = string
  default     = "x86_64"
  nullable    = false

  validation {
    condition     = contains(["x86_64", "arm64"], var.lambda_architecture)
    error_message = "lambda_architecture must be \"x86_64\" or \"arm64\", as the zips were built."
  }
}

variable "lambda_memory_mb" {
  description = "A function's memory, MB; its share of CPU grows with it."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.lambda_memory_mb == floor(var.lambda_memory_mb) && var.lambda_memory_mb >= 128 && var.lambda_memory_mb <= 10240
    error_message = "lambda_memory_mb must be a whole number from 128 to 10240."
  }
}

variable "lambda_timeout_seconds" {
  description = "How long one invocation may take, seconds. Lambda's Kafka pollers take functions of at most 14 minutes."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.lambda_timeout_seconds == floor(var.lambda_timeout_seconds) && var.lambda_timeout_seconds >= 10 && var.lambda_timeout_seconds <= 840
    error_message = "lambda_timeout_seconds must be a whole number from 10 to 840: a function that Kafka feeds may take at most 14 minutes."
  }
}

variable "event_source_mappings_enabled" {
  description = "Whether Lambda polls Kafka. Enable it with another apply, when the brokers have been verified."
  type        = bool
  default     = false
  nullable    = false
}

variable "poller_mode" {
  description = "on_demand: Lambda scales its pollers, at no price of their own. provisioned: a fixed range of pollers, billed by the hour, with partial batch responses."
  type        = string
  default     = "on_demand"
  nullable    = false

  validation {
    condition     = contains(["on_demand", "provisioned"], var.poller_mode)
    error_message = "poller_mode must be \"on_demand\" or \"provisioned\"."
  }
}

variable "provisioned_pollers" {
  description = "Pollers of each mapping in provisioned mode. More than a topic has partitions are of no use."
  type = object({
    minimum = optional(number, 1)
    maximum = optional(number, 3)
  })
  default  = {}
  nullable = false

  validation {
    condition = (
      var.provisioned_pollers.minimum == floor(var.provisioned_pollers.minimum)
      && var.provisioned_pollers.maximum == floor(var.provisioned_pollers.maximum)
      && var.provisioned_pollers.minimum >= 1 && var.provisioned_pollers.minimum <= 200
      && var.provisioned_pollers.maximum >= var.provisioned_pollers.minimum && var.provisioned_pollers.maximum <= 2000
    )
    error_message = "provisioned_pollers needs whole numbers: minimum from 1 to 200, maximum from minimum to 2000."
  }
}

variable "schedule_enabled" {
  description = "Whether EventBridge starts the generator by schedule_expression."
  type        = bool
  default     = false
  nullable    = false
}

variable "schedule_expression" {
  description = "When, as EventBridge writes it: rate(1 minute), rate(5 minutes), cron(0 12 * * ? *)."
  type        = string
  default     = "rate(1 minute)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\([^ ()]+( [^ ()]+){5}\\))$", var.schedule_expression))
    error_message = "schedule_expression must be rate(1 minute), rate(N minutes|hours|days) with N of at least 2, or cron(...) with six fields."
  }
}

variable "orders_per_invocation" {
  description = "How many orders the generator makes when its event does not say."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.orders_per_invocation == floor(var.orders_per_invocation) && var.orders_per_invocation >= 1 && var.orders_per_invocation <= 10000
    error_message = "orders_per_invocation must be a whole number from 1 to 10000: a function's call makes no more."
  }
}

# --- Secrets -------------------------------------------------------------------------------------------------------

variable "kafka_passwords" {
  description = "The password of each Kafka user: every service and operator of topology.yaml. Needed when secrets_version changes or a user is new; may be empty otherwise. Never stored: hand it over as TF_VAR_kafka_passwords, never in a file."
  type        = map(string)
  default     = {}
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = length(var.kafka_passwords) == 0 || length(setsubtract(local.users, keys(var.kafka_passwords))) == 0
    error_message = "kafka_passwords lacks a user of topology.yaml. Hand over all of them, or none when nothing has to be written."
  }

  validation {
    condition     = alltrue([for password in values(var.kafka_passwords) : length(password) >= 16])
    error_message = "kafka_passwords holds a password of fewer than 16 characters."
  }
}

variable "host_passwords" {
  description = "The password of each account that the hosts have among each other and for their consoles: broker, zookeeper_quorum, zookeeper_client, control_center_web, grafana_admin. Handed over like kafka_passwords, at the same times."
  type        = map(string)
  default     = {}
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = length(var.host_passwords) == 0 || length(setsubtract(keys(local.accounts), keys(var.host_passwords))) == 0
    error_message = "host_passwords lacks an account. Hand over broker, zookeeper_quorum, zookeeper_client, control_center_web and grafana_admin, or none when nothing has to be written."
  }

  validation {
    condition     = alltrue([for password in values(var.host_passwords) : length(password) >= 16])
    error_message = "host_passwords holds a password of fewer than 16 characters."
  }
}

variable "secrets_version" {
  description = "Counts how often the passwords have been written. A higher number writes kafka_passwords and host_passwords."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.secrets_version == floor(var.secrets_version) && var.secrets_version >= 1
    error_message = "secrets_version must be a whole number, 1 or more."
  }
}

variable "kafka_ca_certificate" {
  description = "The certificate (PEM) of the CA that signs the brokers' certificates. Public; its key never comes here."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^-----BEGIN CERTIFICATE-----\\r?\\n[A-Za-z0-9+/=\\r\\n]+-----END CERTIFICATE-----$", trimspace(var.kafka_ca_certificate)))
    error_message = "kafka_ca_certificate must be one certificate in PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and nothing else: no key."
  }
}

# --- Watching ------------------------------------------------------------------------------------------------------

variable "log_retention_days" {
  description = "How long CloudWatch keeps the functions' logs, days."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's values: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "offset_lag_alarm_records" {
  description = "How many records a service may be behind for 5 minutes before an alarm."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.offset_lag_alarm_records == floor(var.offset_lag_alarm_records) && var.offset_lag_alarm_records >= 0
    error_message = "offset_lag_alarm_records must be a whole number, 0 or more."
  }
}

variable "notification_email" {
  description = "Who hears of alarms and of the budget. null: nobody."
  type        = string
  default     = null

  validation {
    condition     = var.notification_email == null || can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@[:space:]]+$", var.notification_email))
    error_message = "notification_email must be an e-mail address, or null."
  }
}

variable "monthly_budget_usd" {
  description = "A budget for the account's costs in a month, USD; warns notification_email at 80 % spent and at 100 % forecast. It stops nothing. 0: no budget."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd must be more than 0, or 0 for no budget."
  }
}
