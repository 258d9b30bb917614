"""boto3's clients of what stands in for AWS."""

from __future__ import annotations

import os
from typing import Any


def client_of(service: str, endpoint: str, region: str) -> Any:
    """A boto3 client of a stand-in, whatever environment and profiles say.

    Args:
        service: As boto3 calls it.
        endpoint: Where.
        region: The region.
    """
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    # Where botocore would find a profile: nowhere.
    nowhere = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    session = boto3.session.Session(botocore_session=Session(session_vars=nowhere), region_name=region)
    return session.client(
        service,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the stand-in wants some
        config=Config(
            proxies={},
            retries={"mode": "standard", "max_attempts": 2},
            connect_timeout=5,
            s3={"addressing_style": "path"},
        ),
    )
