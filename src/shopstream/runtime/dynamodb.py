"""The table of orders in DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shopstream.errors import Retriable

if TYPE_CHECKING:
    from collections.abc import Mapping

# A call takes about 5 ms. Three attempts and the pauses between them end within 20 seconds at the very worst, so that
# the function can still say what went wrong before its own time is up.
CONFIG = {"connect_timeout": 2, "read_timeout": 4, "retries": {"mode": "standard", "total_max_attempts": 3}}


class DynamoOrderTable:
    """An `OrderTable` in DynamoDB, with the order's id as its key and `expires_at` as its time to live.

    Args:
        table: The table's name.
        connections: How many threads call it at the same time.
        client: boto3's client; without one, that of the environment.
    """

    def __init__(self, table: str, connections: int = 1, client: Any = None) -> None:
        self._table = table
        self._client = client or boto3.client("dynamodb", config=Config(**CONFIG, max_pool_connections=connections))

    def record(self, order_id: str, topic: str, event: bytes, expires_at: int) -> Mapping[str, bytes]:
        """One UpdateItem, which DynamoDB carries out as a whole."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={"order_id": {"S": order_id}},
                UpdateExpression="SET #half = if_not_exists(#half, :event), #until = :until",
                ExpressionAttributeNames={"#half": topic, "#until": "expires_at"},
                ExpressionAttributeValues={":event": {"S": event.decode()}, ":until": {"N": str(expires_at)}},
                ReturnValues="ALL_NEW",
            )
        except (BotoCoreError, ClientError) as error:
            raise Retriable(f"order {order_id}: table {self._table} could not be updated: {error}") from error
        return {
            name: value["S"].encode()
            for name, value in answer["Attributes"].items()
            if "S" in value and name != "order_id"
        }
