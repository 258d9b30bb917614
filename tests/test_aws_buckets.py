"""A deployment's buckets: which they are, and that nothing stays in them."""

from __future__ import annotations

import pytest

from shopstream.aws import buckets
from shopstream.aws.account import Aws
from tests.aws_account import NEIGHBOUR, OURS, account, aws, stand_in

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def silent(line):
    """Tell nobody."""


def test_a_bucket_with_many_versions_is_emptied(aws):
    client = aws.client("s3")
    client.create_bucket(Bucket=OURS.bucket)
    client.put_bucket_versioning(Bucket=OURS.bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1_500):
        client.put_object(Bucket=OURS.bucket, Key=f"lambdas/{number % 3}.zip", Body=b"")
    client.delete_object(Bucket=OURS.bucket, Key="lambdas/0.zip")
    client.create_multipart_upload(Bucket=OURS.bucket, Key="never-completed")
    assert buckets.owned(aws, OURS) == [OURS.bucket]
    assert buckets.empty(aws, OURS.bucket, silent) == 1_501
    assert not client.list_multipart_uploads(Bucket=OURS.bucket).get("Uploads")
    client.delete_bucket(Bucket=OURS.bucket)


def test_a_bucket_with_others_tags_is_not_ours_whatever_its_name(aws):
    client = aws.client("s3")
    client.create_bucket(Bucket=OURS.bucket)
    client.put_bucket_tagging(Bucket=OURS.bucket, Tagging={"TagSet": NEIGHBOUR.tag_list})
    assert buckets.owned(aws, OURS) == []


@pytest.mark.parametrize(
    ("constraint", "region"), [(None, "us-east-1"), ("eu-west-1", "eu-west-1"), ("EU", "eu-west-1")]
)
@pytest.mark.parametrize("tagged", [True, False])
def test_a_bucket_of_another_region_is_another_deployments(aws, constraint, region, tagged, monkeypatch):
    client = aws.client("s3")
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if constraint else {}
    client.create_bucket(Bucket=OURS.bucket, **place)
    if tagged:
        client.put_bucket_tagging(Bucket=OURS.bucket, Tagging={"TagSet": OURS.tag_list})
    assert client.get_bucket_location(Bucket=OURS.bucket)["LocationConstraint"] == (region if constraint else None)
    for elsewhere in ("us-east-1", "eu-west-1", "eu-central-1"):
        with Aws(aws.session, elsewhere) as there:
            asked = there.client("s3")
            monkeypatch.setattr(asked, "get_bucket_location", lambda **_: {"LocationConstraint": constraint})
            assert buckets.owned(there, OURS) == ([OURS.bucket] if elsewhere == region else [])
