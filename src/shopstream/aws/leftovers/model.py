"""What a search for leftovers finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment


@dataclass(frozen=True, order=True)
class Found:
    """One thing that belongs to the deployment and is there.

    Attributes:
        kind: For example `EC2 instance`.
        identity: Its id, name or ARN: what one needs to delete it.
        detail: Its state, or where it is, for people.
        ends: When it is going away by itself, with the day; such a thing is shown apart and is no leftover.
        arn: Its ARN where AWS tells it.
    """

    kind: str
    identity: str
    detail: str = ""
    ends: str = ""
    arn: str = ""


class Unasked(NamedTuple):
    """A kind of thing that could not be asked for, and why."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Inventory:
    """Everything that was found, and what could not be asked."""

    found: tuple[Found, ...]
    unasked: tuple[Unasked, ...]

    @property
    def left(self) -> tuple[Found, ...]:
        """What is there to stay."""
        return tuple(each for each in self.found if not each.ends)

    @property
    def ending(self) -> tuple[Found, ...]:
        """What AWS deletes by itself on a day that is set."""
        return tuple(each for each in self.found if each.ends)

    @property
    def clean(self) -> bool:
        """Whether it is certain that nothing is left."""
        return not self.left and not self.unasked

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "clean": self.clean,
            "left": [asdict(each) for each in self.left],
            "ending": [asdict(each) for each in self.ending],
            "unasked": [each._asdict() for each in self.unasked],
        }


@dataclass(frozen=True)
class Scope:
    """What a lister works with.

    Attributes:
        aws: The account.
        deployment: Whose things to list.
        vpcs: The ids of the deployment's networks that exist: what lies in them is the deployment's too.
    """

    aws: Aws
    deployment: Deployment
    vpcs: frozenset[str]


class Lister(NamedTuple):
    """How to list one kind.

    Attributes:
        kind: What it lists.
        arns: How the ARNs of this kind begin after the account number, so that the tagging API's answer about a kind
            that has been listed in full is not taken as well: it goes on naming things for hours after their end.
        search: Yields what is there.
    """

    kind: str
    arns: str
    search: Callable[[Scope], Iterator[Found]]
