"""Every error that shopstream raises on purpose.

    ShopstreamError                  its text is for the user: what was expected, what was found, what to do
    ├── UsageError                   the request itself is wrong            (exit code 2)
    │   ├── TopologyError            topology.yaml does not hold together
    │   └── SettingsError            a client properties file, a function's environment or secret is unusable
    ├── ClusterError                 the cluster could not be brought where it should be
    ├── AwsError                     AWS, or what stands in for it, could not do what was asked
    ├── DeploymentError              Terraform, or what its state knows, stands in the way of what was asked
    ├── RehearsalError               the machines that stand in for EC2, or their supplies, cannot be had here
    ├── PackagingError               a Lambda zip cannot be built from what is here
    ├── BadRecord                    a record that no retry can make usable: it belongs on the dead-letter topic
    └── StreamError                  trouble between a service and Kafka
        ├── Retriable                no answer in time: another attempt, in a new process if need be, may get one
        ├── Abortable                this transaction is lost: abort it, rewind the input, process it again
        ├── Uncertain                nobody knows whether the commit took place: ask Kafka, then go on from there
        ├── Fenced                   a newer producer exists: take over once, then leave it to the other
        └── Fatal                    this client is of no further use: build a new one, or stop

What can be retried is a class, not an `if`: code that handles trouble catches the class that it can mend.
"""

from __future__ import annotations


class ShopstreamError(Exception):
    """An error whose text is meant for the user."""

    exit_code = 1


class UsageError(ShopstreamError):
    """The request itself is wrong: an unusable argument, file or combination."""

    exit_code = 2


class TopologyError(UsageError):
    """topology.yaml is not valid. Its text has one line for each problem, with the line number and the remedy."""


class SettingsError(UsageError):
    """A client properties file, or what a Lambda function is given instead, is missing, unreadable or incomplete."""


class ClusterError(ShopstreamError):
    """The cluster cannot be started, reached, or brought to what the topology declares."""


class AwsError(ShopstreamError):
    """AWS, or what stands in for it on this machine, could not be reached or could not do what was asked."""


class DeploymentError(ShopstreamError):
    """Terraform, its state, or what is there already stands in the way of what was asked."""


class RehearsalError(ShopstreamError):
    """The machines that stand in for EC2, or what they are made of, cannot be had on this machine."""


class PackagingError(ShopstreamError):
    """A Lambda zip cannot be built: something that it needs is missing, or has no place in it."""


class BadRecord(ShopstreamError):  # noqa: N818 - named for what it is, the record, as Kafka's own errors are
    """A record that no retry can make usable.

    Attributes:
        reason: A short constant for machines, for example ``not_json``.
        detail: What exactly is wrong, for people. It quotes no more of the record than a field's name.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StreamError(ShopstreamError):
    """Trouble between a service and Kafka."""


class Retriable(StreamError):  # noqa: N818
    """No answer in time, from Kafka or from what a Lambda function needs beside it.

    A worker's process ends, and its supervisor starts one that asks again. A Lambda invocation fails, and AWS repeats
    it.
    """


class Abortable(StreamError):  # noqa: N818
    """The transaction is lost. Abort it, rewind the input to the last committed offsets, process it again."""


class Uncertain(StreamError):  # noqa: N818
    """Nobody knows whether the commit took place. Only the committed offsets can tell."""


class Fenced(StreamError):  # noqa: N818
    """A newer producer with the same transactional id exists: another instance, or our own time-out's doing."""


class Fatal(StreamError):  # noqa: N818
    """The client is of no further use."""
