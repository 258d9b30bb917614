"""The bucket, the secrets (never their values) and the tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of
from shopstream.aws.confirm.model import Check, Line, compare, missing
from shopstream.aws.ownership import read_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def bucket(check: Check) -> Iterator[Line]:
    """Private, encrypted, versioned, and closed to plain HTTP."""
    name, client = check.expected.deployment.bucket, check.aws.client("s3")
    what = f"bucket {name}"
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        yield Line(what, False, "missing" if code_of(error) == "404" else code_of(error), "it exists and is ours")
        return
    yield Line(what, True, "exists")

    def ask(call: Callable[..., Any], key: str) -> Any:
        """A setting, or nothing where it has never been made."""
        try:
            return call(Bucket=name).get(key)
        except ClientError as error:
            if code_of(error).startswith(("NoSuch", "ServerSideEncryptionConfigurationNotFound")):
                return None
            raise

    block = ask(client.get_public_access_block, "PublicAccessBlockConfiguration") or {}
    off = [each for each in _BLOCKS if not block.get(each)]
    yield Line(f"{what}: private", not off, f"not set: {', '.join(off)}" if off else "public access is blocked",
               "all four blocks of public access" if off else "")  # fmt: skip
    rules = (ask(client.get_bucket_encryption, "ServerSideEncryptionConfiguration") or {}).get("Rules") or []
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    yield Line(
        f"{what}: encrypted", any(kinds), ", ".join(map(str, kinds)) or "no", "" if any(kinds) else "AES256 or KMS"
    )
    yield compare(f"{what}: versioned", ask(client.get_bucket_versioning, "Status") or "no", "Enabled")
    policy = json.loads(ask(client.get_bucket_policy, "Policy") or "{}")
    closed = any(_denies_http(statement, name) for statement in policy.get("Statement") or ())
    yield Line(f"{what}: TLS only", closed, "plain HTTP is denied" if closed else "plain HTTP is not denied",
               "" if closed else "a policy that denies it")  # fmt: skip


def _denies_http(statement: dict[str, Any], bucket: str) -> bool:
    condition = str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport", "")).lower()
    resources = statement.get("Resource", [])
    resources = {resources} if isinstance(resources, str) else set(resources)
    arns = {resource.split(":", 5)[-1] for resource in resources}
    return (
        statement.get("Effect") == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and statement.get("Action") in ("s3:*", ["s3:*"], "*")
        and condition == "false"
        and {bucket, f"{bucket}/*"} <= arns
    )


def secrets(check: Check) -> Iterator[Line]:
    """They exist, are ours, and have a value."""
    client, deployment = check.aws.client("secretsmanager"), check.expected.deployment
    for name in deployment.secrets:
        what = f"secret {name}"
        try:
            secret = client.describe_secret(SecretId=name)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield missing(what)
            continue
        stages = [stage for each in (secret.get("VersionIdsToStages") or {}).values() for stage in each]
        if secret.get("DeletedDate"):
            yield Line(what, False, "scheduled for deletion", "it exists")
        elif "AWSCURRENT" not in stages:
            yield Line(what, False, "without a value", "with a value")
        elif not deployment.owns(secret.get("Tags")):
            yield Line(what, False, f"tags {read_tags(secret.get('Tags'))}", "the deployment's tags")
        else:
            yield Line(what, True, "exists, with a value")


def tables(check: Check) -> Iterator[Line]:
    """A table for the state of each join."""
    client = check.aws.client("dynamodb")
    for name in check.expected.deployment.tables:
        what = f"table {name}"
        try:
            table = client.describe_table(TableName=name)["Table"]
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield missing(what)
            continue
        found = f"{table['TableStatus']}, key {', '.join(each['AttributeName'] for each in table['KeySchema'])}"
        yield compare(what, found, "ACTIVE, key order_id")
