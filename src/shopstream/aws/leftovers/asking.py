"""Asking things one by one for their tags, for the many services whose lists come without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of
from shopstream.aws.leftovers.model import Found, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden", "403"}
)
_UNTAGGED = "NoSuchTagSet"  # how S3 says that a bucket has no tags
_GONE = frozenset(
    {
        "NoSuchEntity",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NoSuchHostedZone",
    }
)


class TagsDenied(Exception):  # noqa: N818 - it is not the program's error
    """A thing whose tags may not be read, and whose name looks like ours."""


def tagged(
    scope: Scope,
    kind: str,
    items: Iterable[Any],
    *,
    name: Callable[[Any], str],
    tags: Callable[[Any], Any],
    names: Iterable[str] = (),
    detail: Callable[[Any], str] = lambda _: "",
) -> Iterator[Found]:
    """Those of `items` that are the deployment's.

    Args:
        scope: Whose things to list.
        kind: For people.
        items: As AWS lists them.
        name: A thing's name or id.
        tags: Asks AWS for a thing's tags.
        names: Names that are ours even without any tags.
        detail: More for people.

    Raises:
        TagsDenied: after the last item, when the tags of one whose name begins like ours may not be read. Others that
            do not let themselves be asked are somebody else's: an account may have buckets that only their owner reads.
    """
    denied = []
    for item in items:
        identity = name(item)
        try:
            found = list(answer) if not isinstance(answer := tags(item), dict) and answer else answer
        except ClientError as error:
            if code_of(error) in DENIED:
                if scope.deployment.name in identity:
                    denied.append(identity)
                continue
            if code_of(error) in _GONE:
                continue  # AWS's lists go on naming for a while what has been deleted
            if code_of(error) != _UNTAGGED:
                raise
            found = None
        if scope.deployment.may_own(found, identity, names):
            yield Found(kind, identity, detail(item))
    if denied:
        raise TagsDenied(f"the tags of {', '.join(denied)} may not be read")
