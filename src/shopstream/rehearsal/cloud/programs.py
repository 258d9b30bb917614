"""Functions and mappings as the local Lambda wants them, from what the API answers."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shopstream.errors import AwsError, RehearsalError, ShopstreamError
from shopstream.lambdas.model import FunctionConfig, MappingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# A mapping on its way into another state does not say which settings hold: what held before goes on.
_ON_ITS_WAY = {"Creating", "Enabling", "Updating"}


class CodeStore:
    """The functions' zips, each under the hash of its content.

    Args:
        directory: Where.
        fetch: Gets a function's zip by the function's name.
    """

    def __init__(self, directory: Path, fetch: Callable[[str], bytes]) -> None:
        self._directory = directory
        self._fetch = fetch
        self._checked: set[str] = set()

    def zip_of(self, function: str, code_sha256: str) -> Path:
        """The file with exactly the code that the API reports.

        Args:
            function: Its name.
            code_sha256: As the API has it: SHA-256 in base64.

        Raises:
            AwsError: It cannot be fetched.
            RehearsalError: What is fetched is something else.
        """
        name = base64.b64decode(code_sha256).hex()
        path = self._directory / f"{name}.zip"
        if code_sha256 in self._checked:
            return path
        if not path.exists() or sha256_of(path.read_bytes()) != code_sha256:
            content = self._fetch(function)
            if (found := sha256_of(content)) != code_sha256:
                raise RehearsalError(
                    f"function {function}: the API reports code with CodeSha256 {code_sha256}, but what it gives has "
                    f"{found}: deploy the function again"
                )
            self._directory.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_bytes(content)
            temporary.rename(path)
        self._checked.add(code_sha256)
        return path


@dataclass(frozen=True)
class Snapshot:
    """What an API holds.

    Attributes:
        functions: From ListFunctions.
        concurrency: What is reserved for each function that has something reserved.
        mappings: From ListEventSourceMappings.
        rules: From ListRules, with their targets.
    """

    functions: tuple[dict[str, Any], ...] = ()
    concurrency: dict[str, int | None] = field(default_factory=dict)
    mappings: tuple[dict[str, Any], ...] = ()
    rules: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Programs:
    """What can be run of it.

    Attributes:
        functions: The functions, by name.
        hashes: The CodeSha256 of what each of them runs.
        groups: The log group of each of them.
        mappings: What feeds them, by UUID.
        problems: Why something is not run, by its name.
        passing: Whether something is on its way, so that another look is worth while.
    """

    functions: dict[str, FunctionConfig] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    mappings: dict[str, MappingConfig] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    passing: bool = False


def programs_of(snapshot: Snapshot, code: CodeStore, before: Programs) -> Programs:
    """What of an API's content can be run.

    Args:
        snapshot: The content.
        code: The zips.
        before: What was run until now; it goes on where the content cannot be had, or is on its way.
    """
    made = Programs()
    passing = [_function(answer, snapshot.concurrency, code, before, made) for answer in snapshot.functions]
    passing += [_mapping(answer, before, made) for answer in snapshot.mappings]
    _check_groups(made)
    return Programs(made.functions, made.hashes, made.groups, made.mappings, made.problems, any(passing))


def sha256_of(content: bytes) -> str:
    """As the API has it: in base64."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def log_group_of(answer: Mapping[str, Any]) -> str:
    """The log group of a function, from ListFunctions."""
    return str((answer.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{answer['FunctionName']}")


def _function(
    answer: Mapping[str, Any], concurrency: Mapping[str, int | None], code: CodeStore, before: Programs, made: Programs
) -> bool:
    """Take one up; True if it is on its way."""
    name = str(answer["FunctionName"])
    passing = answer.get("LastUpdateStatus") == "InProgress" or answer.get("State") == "Pending"
    try:
        if passing:
            return True
        digest = str(answer["CodeSha256"])
        path = code.zip_of(name, digest)
        made.functions[name] = FunctionConfig.from_api(answer, path, reserved_concurrency=concurrency.get(name))
        made.hashes[name], made.groups[name] = digest, log_group_of(answer)
    except AwsError as error:
        made.problems[name] = str(error)
        passing = True
    except ShopstreamError as error:
        made.problems[name] = str(error)
    finally:
        if passing and name in before.functions:
            made.functions[name], made.hashes[name] = before.functions[name], before.hashes[name]
            made.groups[name] = before.groups[name]
    return passing


def _mapping(answer: Mapping[str, Any], before: Programs, made: Programs) -> bool:
    uuid, state = str(answer.get("UUID", "")), answer.get("State")
    if state == "Deleting":
        return True
    if state in _ON_ITS_WAY:
        if uuid in before.mappings and before.mappings[uuid].function in made.functions:
            made.mappings[uuid] = before.mappings[uuid]
        return True
    try:
        mapping = MappingConfig.from_api(answer)
        if mapping.function not in made.functions:
            raise RehearsalError(
                f"the mapping of {mapping.topic} feeds {mapping.function}, which is not there or cannot be run: "
                "make that function, or delete the mapping"
            )
        made.mappings[uuid] = mapping
    except ShopstreamError as error:
        made.problems[uuid] = str(error)
    return False


def _check_groups(made: Programs) -> None:
    """Of mappings that share a group only the first is run: the records of one would go to the other's function."""
    seen: dict[tuple[frozenset[str], str], MappingConfig] = {}
    for uuid, mapping in list(made.mappings.items()):
        other = seen.setdefault((frozenset(mapping.bootstrap_servers), mapping.group), mapping)
        if other is not mapping:
            made.problems[uuid] = (
                f"the mapping of {mapping.topic} to {mapping.function} has the group {mapping.group} of the mapping of "
                f"{other.topic} to {other.function}: give each its own"
            )
            del made.mappings[uuid]
