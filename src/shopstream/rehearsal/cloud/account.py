"""What is asked of an AWS API."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

from shopstream.errors import AwsError
from shopstream.rehearsal.clients import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Answer = dict[str, Any]

_LOOPBACK = {"127.0.0.1", "localhost"}
_WITHIN = 60.0  # seconds for a zip
_EVENTBRIDGE = "events.amazonaws.com"


class NoLogGroupError(AwsError):
    """A log group does not exist."""


class Account(Protocol):
    """An account, as far as functions, mappings, schedules and logs go.

    Each method raises AwsError when the API does not answer, or not as expected.
    """

    def functions(self) -> list[Answer]:
        """From ListFunctions."""
        ...

    def reserved_concurrency(self, function: str) -> int | None:
        """From GetFunctionConcurrency."""
        ...

    def mappings(self) -> list[Answer]:
        """From ListEventSourceMappings."""
        ...

    def rules(self) -> list[Answer]:
        """From ListRules, those with a schedule; `Targets` from ListTargetsByRule."""
        ...

    def code(self, function: str) -> bytes:
        """A function's zip, from where GetFunction says."""
        ...

    def may_invoke(self, function: str, rule: str) -> bool:
        """Whether the function's policy lets EventBridge invoke it for a rule, by the rule's ARN."""
        ...

    def put_lines(self, group: str, stream: str, lines: Sequence[tuple[int, str]]) -> None:
        """Write lines with their times (milliseconds since 1970) into a log stream, which is made when it is missing.

        Raises:
            NoLogGroupError: There is no such group. It is not made: that would outlive the deployment.
        """
        ...


class BotoAccount:
    """An account behind an endpoint.

    Args:
        endpoint: The API's address.
        region: The region.
        client: Makes boto3's client for a service; by default one of that endpoint, with the keys of a stand-in.
    """

    def __init__(self, endpoint: str, region: str, client: Callable[[str], Any] | None = None) -> None:
        self._endpoint = endpoint
        self._make = client or (lambda service: client_of(service, endpoint, region))
        self._clients: dict[str, Any] = {}
        self._streams: set[tuple[str, str]] = set()

    def client(self, service: str) -> Any:
        """Its client of a service, made once."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def functions(self) -> list[Answer]:
        """From ListFunctions."""
        return list(self._pages("lambda", "list_functions", "Functions"))

    def reserved_concurrency(self, function: str) -> int | None:
        """From GetFunctionConcurrency."""
        answer = self._ask("lambda", "get_function_concurrency", FunctionName=function)
        reserved: int | None = answer.get("ReservedConcurrentExecutions")
        return reserved

    def mappings(self) -> list[Answer]:
        """From ListEventSourceMappings."""
        return list(self._pages("lambda", "list_event_source_mappings", "EventSourceMappings"))

    def rules(self) -> list[Answer]:
        """From ListRules and ListTargetsByRule."""
        found = [rule for rule in self._all("list_rules", "Rules") if rule.get("ScheduleExpression")]
        return [
            {**rule, "Targets": list(self._all("list_targets_by_rule", "Targets", Rule=rule["Name"]))} for rule in found
        ]

    def code(self, function: str) -> bytes:
        """A function's zip."""
        answer = self._ask("lambda", "get_function", FunctionName=function)
        location = reachable(str(answer["Code"]["Location"]), self._endpoint)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(location, timeout=_WITHIN) as response:
                content: bytes = response.read()
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise AwsError(f"the code of {function} cannot be fetched from {location}: {error}") from error
        return content

    def may_invoke(self, function: str, rule: str) -> bool:
        """Whether EventBridge may invoke it for a rule."""
        from botocore.exceptions import ClientError

        try:
            policy = self._ask("lambda", "get_policy", FunctionName=function)["Policy"]
        except AwsError as error:
            if isinstance(error.__cause__, ClientError) and "ResourceNotFound" in str(error):
                return False
            raise
        return allows(policy, rule)

    def put_lines(self, group: str, stream: str, lines: Sequence[tuple[int, str]]) -> None:
        """Write lines into a log stream."""
        events = [{"timestamp": at, "message": text} for at, text in lines]
        try:
            if (group, stream) not in self._streams:
                self._make_stream(group, stream)
            self._ask("logs", "put_log_events", logGroupName=group, logStreamName=stream, logEvents=events)
        except AwsError as error:
            self._streams.discard((group, stream))
            if "ResourceNotFound" in str(error):
                raise NoLogGroupError(f"there is no log group {group}: let Terraform make it") from error
            raise

    def _make_stream(self, group: str, stream: str) -> None:
        try:
            self._ask("logs", "create_log_stream", logGroupName=group, logStreamName=stream)
        except AwsError as error:
            if "ResourceAlreadyExists" not in str(error):
                raise
        self._streams.add((group, stream))

    def _ask(self, service: str, operation: str, **arguments: Any) -> Answer:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Answer = getattr(self.client(service), operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise AwsError(f"{service} at {self._endpoint}: {error}") from error
        return answer

    def _pages(self, service: str, operation: str, key: str) -> Iterator[Answer]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for page in self.client(service).get_paginator(operation).paginate():
                yield from page[key]
        except (BotoCoreError, ClientError) as error:
            raise AwsError(f"{service} at {self._endpoint}: {error}") from error

    def _all(self, operation: str, key: str, **arguments: Any) -> Iterator[Answer]:
        """EventBridge's lists."""
        token: dict[str, str] = {}
        while True:
            answer = self._ask("events", operation, **arguments, **token)
            yield from answer.get(key, ())
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def reachable(location: str, endpoint: str) -> str:
    """The address of a zip; one on the API's own loopback is looked for at the API's endpoint.

    Args:
        location: As the API names it.
        endpoint: Where the API is reached from here.
    """
    parts = urllib.parse.urlsplit(location)
    if parts.hostname not in _LOOPBACK:
        return location
    return urllib.parse.urlunsplit(parts._replace(netloc=urllib.parse.urlsplit(endpoint).netloc))


def allows(policy: str, rule: str) -> bool:
    """Whether a function's policy lets EventBridge invoke it for a rule.

    Args:
        policy: The document.
        rule: The rule's ARN.
    """
    for statement in json.loads(policy).get("Statement", ()):
        principal = statement.get("Principal")
        named = principal.get("Service") if isinstance(principal, dict) else principal
        actions = statement.get("Action")
        if (
            statement.get("Effect") == "Allow"
            and _EVENTBRIDGE in _listed(named)
            and {"lambda:InvokeFunction", "lambda:*"} & set(_listed(actions))
            and _source_fits(statement.get("Condition") or {}, rule)
        ):
            return True
    return False


def _source_fits(condition: Mapping[str, Mapping[str, Any]], rule: str) -> bool:
    wanted = [
        each
        for test in condition.values()
        for name, value in test.items()
        if name.lower() == "aws:sourcearn"
        for each in _listed(value)
    ]
    return not wanted or rule in wanted


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
