"""What the fields of events and the reasons of bad records mean, where their docstrings do not say it field by field.

Nothing here may be missing or left over: `check` compares it with the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shopstream.errors import ShopstreamError
from shopstream.reference.reading import attributes_of, reasons

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A field's name, or `Type.field` where the name means something else in a type.
FIELDS = {
    "customer": "Who ordered.",
    "ship_to": "Where the parcel goes.",
    "lines": "What was ordered.",
    "total": "What is to be paid, in minor units of `currency`: the sum of quantity x unit price over all lines.",
    "currency": "ISO 4217 code of the currency of all amounts in the event.",
    "amount": "In minor units of `currency` (cents): what the payment is about.",
    "authorization": "The approval code of whoever approved the payment.",
    "reason": "Why the order ends without a parcel.",
    "PaymentDeclined.reason": "Why the payment was refused, a short word such as `card_expired`.",
    "missing": "The articles that are out of stock, by `article_id`.",
    "carrier": "Who carries the parcel.",
    "tracking_number": "The carrier's number for the parcel.",
    "refund": "What has to be paid back, in minor units of `currency`; 0 when nothing was paid.",
    "release": "The reserved lines that are to be set free; empty when nothing was reserved.",
    "kind": "How the order ended, for the customer.",
    "channel": "How the customer was told.",
    "text": "What the customer was told.",
    "customer_id": "The customer, in every order of theirs.",
    "article_id": "The article in the catalogue.",
    "quantity": "How many pieces.",
    "unit_price": "Of one piece, in minor units of the event's currency.",
    "name": "A person's name.",
    "Line.name": "The article's name, for people.",
    "email": "Where the customer is told. The generator's addresses end in example.com and reach nobody.",
    "street": "Street and house number.",
    "postal_code": "In the form of the country.",
    "city": "The town.",
    "country": "ISO 3166-1 alpha-2 code.",
}

REASONS = {
    "contradiction": "another half of the order came from the same topic before, and that one counts",
    "empty": "the record has no value",
    "missing_field": "a field is missing that every event of its type has",
    "no_key": "the record has no key",
    "no_origin": "it stands among the dead letters, and its headers do not tell where it came from (for the auditor)",
    "not_a_record": "an event source mapping delivered something that has not the form of a record",
    "not_a_run": "it stands among the progress records, and is none",
    "not_an_object": "the value is JSON, but no object",
    "not_json": "the value is no JSON in UTF-8, or is nested too deeply",
    "too_large": "the value is larger than an event can be",
    "unknown_event_type": "`event_type` names no event of the shop",
    "unknown_topic": "the service does not read the topic that the record came from",
    "unknown_version": "`schema_version` is another one",
    "wrong_event_id": "`event_id` is not `<order_id>:<event_type>`",
    "wrong_key": "the key is not the event's `order_id`",
    "wrong_topic": "an event of this type stands on another topic",
    "wrong_total": "`total` is not the sum of the lines",
    "wrong_type": "a field has a value of another type, or outside of its limits",
}


def meaning_of(kind: type, field: str) -> str:
    """What a field of an event, or of a part of one, means; '' when nothing says so."""
    for ancestor in kind.__mro__:
        if found := attributes_of(ancestor).get(field):
            return found
    return FIELDS.get(f"{kind.__name__}.{field}", FIELDS.get(field, ""))


def check(fields: Mapping[type, Iterable[str]], given: Iterable[str] | None = None) -> None:
    """Compare this module with the code.

    Args:
        fields: The fields of each type that the pages show.
        given: The reasons that the sources give; by default those that the package's sources do.

    Raises:
        ShopstreamError: A field or reason is not explained, or an explanation is of nothing.
    """
    shown = [(kind, field) for kind, names in fields.items() for field in names]
    used = set(reasons() if given is None else given)
    needed = {name for kind, field in shown for name in (field, f"{kind.__name__}.{field}")}
    problems = [
        f"{kind.__name__}.{field}: say in FIELDS what it means" for kind, field in shown if not meaning_of(kind, field)
    ]
    problems += [f"{name}: no type has this field: take it out of FIELDS" for name in FIELDS if name not in needed]
    problems += [f"{reason}: say in REASONS what it means" for reason in sorted(used - REASONS.keys())]
    problems += [
        f"{reason}: nobody gives this reason: take it out of REASONS" for reason in sorted(REASONS.keys() - used)
    ]
    if problems:
        raise ShopstreamError("src/shopstream/reference/meanings.py:\n" + "\n".join(problems))
