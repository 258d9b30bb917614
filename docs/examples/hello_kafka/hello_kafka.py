"""The smallest function for a Kafka topic: it prints what it gets, and reports what it cannot use."""  # noqa: INP001

import base64
import json
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Print each record. `context` is Lambda's own."""
    failures = []
    for records in event["records"].values():
        for record in records:
            place = f"{record['topic']}-{record['partition']}"
            try:
                value = json.loads(base64.b64decode(record["value"]))
            except (KeyError, ValueError):
                # In provisioned mode with report_batch_item_failures, only these come again.
                failures.append({"itemIdentifier": {"partition": place, "offset": record["offset"]}})
                continue
            print(place, record["offset"], value, f"{context.get_remaining_time_in_millis()} ms left")
    return {"batchItemFailures": failures}
