"""What a failure destination is told about records that were given up.

The form is that of "Capturing discarded batches for Amazon MSK and self-managed Apache Kafka event sources" in AWS's
developer guide: metadata for queues and topics; for buckets the whole payload as well.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shopstream.lambdas.delivery import Discarded
    from shopstream.lambdas.model import FunctionConfig, MappingConfig
    from shopstream.lambdas.payload import Record


class Destinations(Protocol):
    """Sends on what was given up."""

    def send(self, mapping: MappingConfig, function: FunctionConfig, discarded: Discarded) -> None:
        """Tell the mapping's destination. Never raises: what cannot be sent is told and lost, as the records are."""
        ...


class AwsDestinations:
    """Queues, topics and buckets at AWS, or at what stands in for it.

    Args:
        client: Makes boto3's client for a service.
        tell: Told in a line what could not be sent.
        now: The time.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        tell: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._tell = tell
        self._now = now

    def send(self, mapping: MappingConfig, function: FunctionConfig, discarded: Discarded) -> None:
        """Tell the mapping's destination."""
        arn = mapping.on_failure or ""
        try:
            service = arn.split(":")[2]
            now = self._now()
            document = invocation_record(mapping, function, discarded, now, whole=service == "s3")
            self._send(service, arn, json.dumps(document), mapping.uuid, now)
        except Exception as error:  # noqa: BLE001 - boto3 may be missing, a record's time none: the poller goes on
            self._tell(f"{arn} could not be told about {len(discarded.records)} records: {error}")

    def _send(self, service: str, arn: str, body: str, mapping: str, now: datetime) -> None:
        client = self._client(service)
        if service == "sqs":
            url = client.get_queue_url(QueueName=arn.split(":")[5], QueueOwnerAWSAccountId=arn.split(":")[4])
            client.send_message(QueueUrl=url["QueueUrl"], MessageBody=body)
        elif service == "sns":
            client.publish(TopicArn=arn, Message=body)
        else:
            moment = f"{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}"
            key = f"aws/lambda/{mapping}/{moment}-{uuid.uuid4()}"
            client.put_object(Bucket=arn.split(":")[5], Key=key, Body=body.encode(), ContentType="application/json")


def invocation_record(
    mapping: MappingConfig, function: FunctionConfig, discarded: Discarded, now: datetime, *, whole: bool
) -> dict[str, Any]:
    """The document that AWS sends.

    Args:
        mapping: Whose records they were.
        function: What did not take them.
        discarded: They.
        now: The time.
        whole: Whether to put the payload in.
    """
    last = discarded.last
    by_partition: dict[str, list[Record]] = {}
    for record in discarded.records:
        by_partition.setdefault(str(record.partition), []).append(record)
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": last.request_id if last else str(uuid.uuid4()),
            "functionArn": function.arn,
            "condition": discarded.condition,
            "approximateInvokeCount": discarded.invocations,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": function.version,
            "functionError": "Unhandled" if last.error else None,
        }
        if last
        else None,
        "version": "1.0",
        "timestamp": _iso(now),
        "KafkaBatchInfo": {
            "batchSize": len(discarded.records),
            "eventSourceArn": mapping.uuid,
            "bootstrapServers": ",".join(mapping.bootstrap_servers),
            "payloadSize": len(discarded.payload),
            "recordsInfo": {name: _ends(records) for name, records in by_partition.items()},
        },
    }
    if whole:
        document["payload"] = discarded.payload.decode()
    return document


def _ends(records: Sequence[Record]) -> dict[str, str]:
    first, last = records[0], records[-1]
    return {
        "firstRecordOffset": str(first.offset),
        "lastRecordOffset": str(last.offset),
        "firstRecordTimestamp": _iso(datetime.fromtimestamp(first.timestamp / 1000, UTC)),
        "lastRecordTimestamp": _iso(datetime.fromtimestamp(last.timestamp / 1000, UTC)),
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
