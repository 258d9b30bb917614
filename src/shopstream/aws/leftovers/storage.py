"""Buckets, tables, secrets, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.model import Found, Lister, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


def _buckets(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("s3")

    def tags(bucket: Any) -> Any:
        return client.get_bucket_tagging(Bucket=bucket["Name"]).get("TagSet")

    def detail(bucket: Any) -> str:
        listed = client.list_object_versions(Bucket=bucket["Name"], MaxKeys=1)
        return "not empty" if listed.get("Versions") or listed.get("DeleteMarkers") else "empty"

    buckets = pages(client, "list_buckets", "Buckets")
    yield from tagged(
        scope,
        "S3 bucket",
        buckets,
        name=lambda each: each["Name"],
        tags=tags,
        names=(scope.deployment.bucket,),
        detail=detail,
    )


def _tables(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("dynamodb")

    def arn(table: str) -> str:
        return str(client.describe_table(TableName=table)["Table"]["TableArn"])

    def tags(table: str) -> Any:
        return pages(client, "list_tags_of_resource", "Tags", ResourceArn=arn(table))

    tables = pages(client, "list_tables", "TableNames")
    yield from tagged(scope, "DynamoDB table", tables, name=str, tags=tags)


def _secrets(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("secretsmanager")
    for secret in pages(client, "list_secrets", "SecretList", IncludePlannedDeletion=True):
        if not scope.deployment.owns(secret.get("Tags")):
            continue
        deleted = secret.get("DeletedDate")
        # DeletedDate is the day on which the deletion was asked for; Secrets Manager waits 7 to 30 days from then.
        ends = f"scheduled for deletion on {deleted:%Y-%m-%d}" if deleted else ""
        yield Found("secret", secret["Name"], ends=ends)


def _parameters(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("ssm")
    ours = [{"Key": "tag:Deployment", "Option": "Equals", "Values": [scope.deployment.name]}]

    def tags(parameter: Any) -> Any:
        return client.list_tags_for_resource(ResourceType="Parameter", ResourceId=parameter["Name"]).get("TagList")

    parameters = pages(client, "describe_parameters", "Parameters", ParameterFilters=ours)
    yield from tagged(scope, "SSM parameter", parameters, name=lambda each: each["Name"], tags=tags)


def _keys(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("kms")

    def tags(key: Any) -> Any:
        return pages(client, "list_resource_tags", "Tags", KeyId=key["KeyId"])

    for found in tagged(scope, "KMS key", pages(client, "list_keys", "Keys"), name=lambda each: each["KeyId"],
                        tags=tags):  # fmt: skip
        key = client.describe_key(KeyId=found.identity)["KeyMetadata"]
        until = key.get("DeletionDate")
        ends = f"is deleted on {until:%Y-%m-%d}" if key.get("KeyState") == "PendingDeletion" and until else ""
        yield Found(found.kind, found.identity, str(key.get("KeyState", "")), ends=ends)


LISTERS = (
    Lister("S3 bucket", "s3:", _buckets),
    Lister("DynamoDB table", "dynamodb:table/", _tables),
    Lister("secret", "secretsmanager:secret:", _secrets),
    Lister("SSM parameter", "ssm:parameter/", _parameters),
    Lister("KMS key", "kms:key/", _keys),
)
