"""Empties a deployment's buckets: every version, every delete marker, every upload that was never completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment


def owned(aws: Aws, deployment: Deployment) -> list[str]:
    """The names of the deployment's buckets: by their tags, or by the exact name where a bucket has no tags.

    S3 lists the buckets of all regions. Those of another one are a deployment's of the same name there.
    """
    client = aws.client("s3")
    found = []
    for bucket in pages(client, "list_buckets", "Buckets"):
        name = bucket["Name"]
        try:
            if _region(client, name) not in {aws.region, None}:
                continue
            tags = client.get_bucket_tagging(Bucket=name).get("TagSet")
        except ClientError as error:
            if code_of(error) != "NoSuchTagSet":
                # Gone, or not ours to read, so not ours. Should it be ours after all, the list at the end names it.
                continue
            tags = None
        if deployment.may_own(tags, name, (deployment.bucket,)):
            found.append(name)
    return found


def _region(client: Any, bucket: str) -> str | None:
    """Where a bucket is, or None for who may not ask.

    S3's answer for us-east-1 is none, and for eu-west-1 it may be EU ("GetBucketLocation").
    """
    try:
        place = client.get_bucket_location(Bucket=bucket).get("LocationConstraint") or "us-east-1"
    except ClientError as error:
        if code_of(error) != "AccessDenied":
            raise
        return None
    return "eu-west-1" if place == "EU" else str(place)


def empty(aws: Aws, bucket: str, tell: Callable[[str], None]) -> int:
    """Delete everything in a bucket. Returns how many versions and markers there were."""
    client = aws.client("s3")
    removed = 0
    # The list is asked anew after each page: what has been deleted shifts the rest.
    while batch := _versions(client, bucket):
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        errors = answer.get("Errors") or ()
        if errors:
            first = errors[0]
            raise AwsError(
                f"{len(errors)} objects of the bucket {bucket} cannot be deleted, the first is {first.get('Key')} "
                f"({first.get('Code')}: {first.get('Message')}): take away what protects them, and call again"
            )
        removed += len(batch)
        tell(f"{bucket}: {removed} object versions deleted")
    for upload in pages(client, "list_multipart_uploads", "Uploads", Bucket=bucket):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return removed


def _versions(client: Any, bucket: str) -> list[dict[str, str]]:
    """Up to 1,000 versions and markers, as many as one deletion takes."""
    try:
        page = client.list_object_versions(Bucket=bucket, MaxKeys=1000)
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return []
        raise
    items = [*(page.get("Versions") or ()), *(page.get("DeleteMarkers") or ())]
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in items]
