"""Intents of earlier schemas, read as they were written and said in today's words.

An intent may wait in an outbox for weeks, through updates of the app and of the server. Its bytes stay what they were: it is
read with the fields, the limits and the strictness of its own schema, and then taken through the chain, a step for each
version that came since. A step says what the older version meant. It is pure, and never edited: what was decided of an old
intent is decided so for ever.
"""

import typing
from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from sync_protocol.intents import INTENTS, LINES_MAX, AmendOrder, AnyIntent, RequestedLine, SubmitOrder
from sync_protocol.values import (
    DocumentNumber,
    EnteredCurrency,
    EnteredLabel,
    EnteredNote,
    Quantity,
    Revision,
    UnitPrice,
)


class RequestedLine1(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as `SubmitOrder` 1 and `AmendOrder` 1 and 2 have it: a price without a proof."""

    line_id: UUID
    product_id: UUID
    quantity: Quantity
    unit_price: UnitPrice


RequestedLines1 = Annotated[tuple[RequestedLine1, ...], Meta(min_length=1, max_length=LINES_MAX)]


class SubmitOrder1(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="intent", tag="SubmitOrder"):
    """`SubmitOrder` of schema 1: of the days when a line had a unit price and nothing else."""

    order_id: UUID
    number: DocumentNumber
    customer_id: UUID
    currency: EnteredCurrency
    lines: RequestedLines1
    address_id: UUID | None = None
    purchase_order_number: EnteredLabel = ""
    note: EnteredNote = ""


class AmendOrder1(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="intent", tag="AmendOrder"):
    """`AmendOrder` of schema 1: an empty note kept the order's, so that none could be taken back."""

    order_id: UUID
    revision: Revision
    lines: RequestedLines1
    note: EnteredNote = ""


class AmendOrder2(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="intent", tag="AmendOrder"):
    """`AmendOrder` of schema 2: as `SubmitOrder` of schema 1 has its lines."""

    order_id: UUID
    revision: Revision
    lines: RequestedLines1
    note: EnteredNote | None = None


def _lines_2(lines: tuple[RequestedLine1, ...]) -> tuple[RequestedLine, ...]:
    return tuple(RequestedLine(**msgspec.structs.asdict(line)) for line in lines)


def _submit_order_2(old: SubmitOrder1) -> SubmitOrder:
    return SubmitOrder(**{**msgspec.structs.asdict(old), "lines": _lines_2(old.lines)})


def _amend_order_2(old: AmendOrder1) -> AmendOrder2:
    return AmendOrder2(order_id=old.order_id, revision=old.revision, lines=old.lines, note=old.note or None)


def _amend_order_3(old: AmendOrder2) -> AmendOrder:
    return AmendOrder(order_id=old.order_id, revision=old.revision, lines=_lines_2(old.lines), note=old.note)


class Schema(msgspec.Struct, frozen=True):
    """An earlier schema of an intent, and the step to the one after it."""

    fields: type[msgspec.Struct]
    following: Callable[[Any], msgspec.Struct]


EARLIER: Final = MappingProxyType(
    {
        ("SubmitOrder", 1): Schema(SubmitOrder1, _submit_order_2),
        ("AmendOrder", 1): Schema(AmendOrder1, _amend_order_2),
        ("AmendOrder", 2): Schema(AmendOrder2, _amend_order_3),
    }
)
"""By the name of the intent and the version of its schema."""


def readable_as(kind: str, schema_version: int) -> Any:
    """The union of intents in which this one is of the given schema and the others are today's."""
    earlier = EARLIER.get((kind, schema_version))
    fields = [earlier.fields if earlier is not None and intent.__name__ == kind else intent for intent in INTENTS]
    return typing.Union[tuple(fields)]  # noqa: UP007  # the members are only known at run time


def upcast(kind: str, schema_version: int, intent: msgspec.Struct) -> AnyIntent:
    """The intent in today's schema, from the one it was written in."""
    at, said = schema_version, intent
    while (earlier := EARLIER.get((kind, at))) is not None and isinstance(said, earlier.fields):
        at, said = at + 1, earlier.following(said)
    assert isinstance(said, INTENTS)
    return typing.cast("AnyIntent", said)
