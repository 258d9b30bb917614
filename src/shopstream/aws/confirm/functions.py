"""Roles, functions, their log groups, and the mappings that feed them."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.confirm.model import Check, Line, missing
from shopstream.aws.mappings import Mapping, mappings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shopstream.topology import EventSource, Service

RUNTIME = "python3.13"
BATCH_SIZE = 100
"""What lambdas.tf gives every mapping."""
_BASIC = "AWSLambdaBasicExecutionRole"
_PROBLEM = "PROBLEM"
"""How a mapping's LastProcessingResult begins when its pollers reach no broker, secret or function."""


def roles(check: Check) -> Iterator[Line]:
    """Each function's role: for Lambda, with AWSLambdaBasicExecutionRole."""
    client = check.aws.client("iam")
    for name in check.expected.deployment.functions:
        what = f"role {name}"
        try:
            role = client.get_role(RoleName=name)["Role"]
        except ClientError as error:
            if code_of(error) != "NoSuchEntity":
                raise
            yield missing(what)
            continue
        attached = [each["PolicyName"] for each in pages(client, "list_attached_role_policies", "AttachedPolicies",
                                                         RoleName=name)]  # fmt: skip
        trusted = "lambda.amazonaws.com" in str(role.get("AssumeRolePolicyDocument"))
        ok = _BASIC in attached and trusted
        found = f"{', '.join(attached) or 'no managed policy'}, {'for' if trusted else 'not for'} Lambda"
        yield Line(what, ok, found, "" if ok else f"{_BASIC}, for Lambda")


def functions(check: Check) -> Iterator[Line]:
    """Runtime, handler, environment, network, and the very code that was built."""
    client, expected = check.aws.client("lambda"), check.expected
    for service in expected.topology.services.values():
        name = expected.deployment.function(service.name)
        try:
            function = client.get_function_configuration(FunctionName=name)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield missing(f"function {name}")
            continue
        wrong = list(_wrong(check, service, function))
        text = f"{function.get('Runtime')}, {function.get('Handler')}, code {function.get('CodeSha256', '')[:12]}"
        yield Line(f"function {name}", not wrong, text, ", ".join(wrong))


def _wrong(check: Check, service: Service, function: dict[str, Any]) -> Iterator[str]:
    """What a function should be and is not."""
    expected, network = check.expected, check.network
    if function.get("Runtime") != RUNTIME:
        yield f"runtime {RUNTIME}"
    if function.get("Handler") != service.lambda_handler:
        yield f"handler {service.lambda_handler}"
    if function.get("State", "Active") not in {"Active", "Inactive"}:
        yield f"state Active, not {function['State']}"
    variables = function.get("Environment", {}).get("Variables", {})
    yield from _wrong_environment(check, service, variables)
    zipped = expected.zips.get(service.name)
    if zipped and not zipped.is_file():
        yield f"a zip to compare with at {zipped} (scripts/build_all_zips.sh)"
    elif zipped and function.get("CodeSha256") != sha256(zipped):
        yield f"the code of {zipped} ({sha256(zipped)[:12]})"
    role = str(function.get("Role", "")).partition(":role/")[2]
    if role != expected.deployment.function(service.name):
        yield f"the role {expected.deployment.function(service.name)}, not {role}"
    vpc = function.get("VpcConfig") or {}
    if not set(vpc.get("SubnetIds") or ()) or not set(vpc.get("SubnetIds") or ()) <= network.private:
        yield "in private subnets"
    group = expected.deployment.lambdas_group
    if [network.group_name(each) for each in vpc.get("SecurityGroupIds") or ()] != [group]:
        yield f"in the group {group}"


def _wrong_environment(check: Check, service: Service, variables: dict[str, str]) -> Iterator[str]:
    deployment = check.expected.deployment
    wanted = {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USER_SECRET_ARN", "KAFKA_CA_SECRET_ARN", "METRICS_NAMESPACE"}
    wanted |= {"STATE_TABLE"} if service.state else set()
    wanted |= {"ORDERS_PER_INVOCATION"} if service.progress else set()
    lacking = wanted - set(variables)
    if lacking:
        yield f"environment {', '.join(sorted(lacking))}"
    if variables.get("KAFKA_BOOTSTRAP_SERVERS", "") != check.expected.bootstrap_servers and not lacking:
        yield f"KAFKA_BOOTSTRAP_SERVERS {check.expected.bootstrap_servers}"
    for key, secret in (
        ("KAFKA_USER_SECRET_ARN", deployment.user_secret(service.name)),
        ("KAFKA_CA_SECRET_ARN", deployment.ca_secret),
    ):
        if key in variables and not _is_secret(variables[key], secret):
            yield f"{key} of {secret}"


def log_groups(check: Check) -> Iterator[Line]:
    """They exist, and forget after a while."""
    client = check.aws.client("logs")
    for name in check.expected.deployment.log_groups:
        found = next(
            (
                group
                for group in pages(client, "describe_log_groups", "logGroups", logGroupNamePrefix=name)
                if group["logGroupName"] == name
            ),
            None,
        )
        days = found.get("retentionInDays") if found else None
        if found is None:
            yield missing(f"log group {name}")
        else:
            yield Line(f"log group {name}", bool(days), f"kept {days} days" if days else "kept for ever",
                       "" if days else "a retention")  # fmt: skip


def mappings(check: Check) -> Iterator[Line]:
    """One for each topic that a service consumes, with the group and the credentials of its own."""
    expected = check.expected
    found: dict[tuple[str, str], list[Mapping]] = defaultdict(list)
    for mapping in mappings_of(check.aws, expected.deployment):
        for topic in mapping.raw.get("Topics") or [""]:
            found[(mapping.function, topic)].append(mapping)
    for service in expected.topology.services.values():
        for source in service.event_sources:
            what = f"mapping {source.topic} to {expected.deployment.function(service.name)}"
            there = found.pop((expected.deployment.function(service.name), source.topic), [])
            if not there:
                yield missing(what, f"one with the group {source.group}")
                continue
            for mapping in there:
                wrong = list(_wrong_mapping(check, service, source, mapping))
                if len(there) > 1:
                    wrong.append("one mapping, not several")
                yield Line(what, not wrong, f"{mapping.state}, group {_group(mapping)}", ", ".join(wrong))
    for (function, topic), others in sorted(found.items()):
        for mapping in others:
            yield Line(f"mapping {topic} to {function}", False, mapping.uuid, "topology.yaml does not have it")


def _wrong_mapping(check: Check, service: Service, source: EventSource, mapping: Mapping) -> Iterator[str]:
    expected = check.expected
    states = {"Enabled", "Enabling", "Creating"} if expected.mappings_enabled else {"Disabled", "Disabling", "Creating"}
    if mapping.state not in states:
        yield "enabled" if expected.mappings_enabled else "disabled until the brokers are verified"
    result = str(mapping.raw.get("LastProcessingResult") or "")
    if expected.mappings_enabled and result.startswith(_PROBLEM):
        yield f"at work, where Lambda says {result}"
    if _group(mapping) != source.group:
        yield f"group {source.group}"
    endpoints = mapping.raw.get("SelfManagedEventSource", {}).get("Endpoints", {}).get("KAFKA_BOOTSTRAP_SERVERS", [])
    # Lambda gives them back in an order of its own.
    if sorted(endpoints) != sorted(expected.bootstrap_servers.split(",")):
        yield f"brokers {expected.bootstrap_servers}"
    access = {each["Type"]: each["URI"] for each in mapping.raw.get("SourceAccessConfigurations") or ()}
    for kind, secret in (
        ("SASL_SCRAM_512_AUTH", expected.deployment.user_secret(service.name)),
        ("SERVER_ROOT_CA_CERTIFICATE", expected.deployment.ca_secret),
    ):
        if not _is_secret(access.get(kind, ""), secret):
            yield f"{kind} from {secret}"
    yield from _wrong_pollers(check, mapping)


def _wrong_pollers(check: Check, mapping: Mapping) -> Iterator[str]:
    """Where a mapping's pollers are, how much they take, and whether they are the ones that the functions expect."""
    expected, network = check.expected, check.network
    places: dict[str, set[str]] = defaultdict(set)
    for each in mapping.raw.get("SourceAccessConfigurations") or ():
        places[each["Type"]].add(each["URI"].rpartition(":")[2])
    if places["VPC_SUBNET"] != network.private:
        yield f"pollers in the private subnets, not in {', '.join(sorted(places['VPC_SUBNET'])) or 'none'}"
    groups = {network.group_name(each) for each in places["VPC_SECURITY_GROUP"]}
    if groups != {expected.deployment.lambdas_group}:
        yield f"pollers in the group {expected.deployment.lambdas_group}, not in {', '.join(sorted(groups)) or 'none'}"
    if mapping.raw.get("BatchSize") != BATCH_SIZE:
        yield f"batches of {BATCH_SIZE}, not {mapping.raw.get('BatchSize')}"
    mode = "provisioned" if mapping.raw.get("ProvisionedPollerConfig") else "on_demand"
    if mode != expected.poller_mode:
        yield f"poller_mode {expected.poller_mode}, not {mode}"
    # Without it the whole batch that a function answers for in part would count as done.
    partly = "ReportBatchItemFailures" in (mapping.raw.get("FunctionResponseTypes") or ())
    if partly != (expected.poller_mode == "provisioned"):
        yield f"partial responses {'not ' if partly else ''}read, as belongs to poller_mode {expected.poller_mode}"


def _group(mapping: Mapping) -> str:
    config = mapping.raw.get("SelfManagedKafkaEventSourceConfig") or {}
    return str(config.get("ConsumerGroupId", "none"))


def _is_secret(arn: str, name: str) -> bool:
    """Whether an ARN is the one of a secret: Secrets Manager adds a hyphen and six characters to the name."""
    found = arn.partition(":secret:")[2]
    return found == name or (found.startswith(f"{name}-") and len(found) == len(name) + 7)


def sha256(path: Path) -> str:
    """A file's hash as Lambda gives it: SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode("ascii")
