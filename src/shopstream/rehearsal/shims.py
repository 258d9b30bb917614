"""What the stand-in for AWS does by our own code instead of moto's, as a list that a report can print.

Everything here is checked against our reading of AWS's pages, not against AWS. Importing this module does not import
moto; `shopstream.rehearsal.moto.<name>` holds the code of each.
"""

from __future__ import annotations

from typing import NamedTuple


class Shim(NamedTuple):
    """One gap in moto that is filled here.

    Attributes:
        name: The module in `shopstream.rehearsal.moto` that fills it.
        what: What is answered by our own code.
        why: What plain moto does instead.
    """

    name: str
    what: str
    why: str


SHIMMED: tuple[Shim, ...] = (
    Shim(
        "kafka_mappings",
        "Lambda event source mappings for a self-managed Kafka: validation, states, update, deletion, listing",
        "moto refuses them: it asks for an EventSourceArn",
    ),
    Shim(
        "function_settings",
        "a Lambda function's dead-letter target, logging, tracing, concurrency of 0, VPC id, code by S3 object "
        "version, and a code location that can be fetched",
        "moto accepts and forgets them, names a VPC of its own invention, and gives an address that does not exist",
    ),
    Shim(
        "instance_groups",
        "security groups that an instance got through its network interface are shown at the instance",
        "moto shows them at the interface only",
    ),
    Shim(
        "instance_addresses",
        "an instance's own interface and private address are gone and free after termination; one without a public "
        "address has no association; wrong addresses are refused with AWS's error codes",
        "moto keeps them for ever, shows an empty association, and ends a wrong address with an internal error",
    ),
    Shim(
        "instance_monitoring",
        "detailed monitoring of an instance is switched on and off",
        "moto lacks MonitorInstances and UnmonitorInstances",
    ),
    Shim(
        "nat_interfaces",
        "a deleted NAT gateway takes its network interface along and lets go of its address",
        "moto keeps the interface, and the address associated",
    ),
    Shim(
        "rule_descriptions",
        "a security group rule that refers to a group or a prefix list shows its description",
        "moto shows it for address ranges only",
    ),
    Shim(
        "secure_transport",
        "in policies the conditions aws:SecureTransport and s3:TlsVersion are judged as if the caller had come by TLS",
        "moto denies whatever a Deny with an unmet condition names; plain HTTP on loopback would be denied anyway",
    ),
    Shim(
        "budgets",
        "budgets: subscribers, tags, updates",
        "moto lacks the calls; the provider retries for minutes and then crashes",
    ),
    Shim(
        "debian_images",
        "Debian 12's public SSM parameters and images",
        "moto knows Amazon's own images only",
    ),
    Shim(
        "deleted_secrets",
        "a secret that is scheduled for deletion is refused in AWS's words",
        "moto uses words of its own, by which clients do not know the case",
    ),
    Shim(
        "atomic_tables",
        "a write to a DynamoDB item is one step, whatever is written at the same time",
        "moto checks a condition and writes without a lock: of two conditional writes both can succeed",
    ),
    Shim(
        "fast_tables",
        "DynamoDB's update expressions are parsed once and evaluated faster, with the same result",
        "moto takes twice as long",
    ),
    Shim(
        "fast_policies",
        "AWS's managed policies are read once",
        "moto reads them again for every account and reset, which takes two seconds",
    ),
)
