"""Which rows the office keeps over HTTP, and in which form a caller sends them: all of it follows from the registry.

A kind has the fields and limits of its row, its references and unique values from its table, and a path from its name.
"""

import types
import typing
from enum import StrEnum
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from server.pricing.computed_rows import MarginRule, ProductCost
from server.runtime.database import Base
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.customers import Segment, SegmentMember
from sync_protocol.entities.pricing import (
    AgreedPrice,
    CustomerPriceList,
    DiscountLimit,
    ListQuantityRule,
    PriceEntry,
    PriceFloor,
    PriceList,
    PriceListAssignment,
    ProductQuantityRule,
)
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionAudience,
    PromotionCustomer,
    PromotionExclusion,
    PromotionTarget,
    PromotionTier,
    PromotionUse,
)
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.values import Code, Currency, EnteredCode, EnteredCurrency, EnteredName, Name, Row, normal_text, plain_type

_ENTERED: Final = {Code: EnteredCode, Name: EnteredName, Currency: EnteredCurrency}
_KEPT: Final = frozenset({"spent_minor"})
"""What orders count and the office does not set: a form that was opened earlier would set it back."""

_TAKEN_FROM: Final = frozenset({"remaining_quantity"})
"""What the office sets and orders take from: beside another value a form says which one it saw."""


class Kind:
    """A kind of rows that the office keeps. Where it is not `is_written`, it only looks at them."""

    def __init__(self, row: type[Row], name: str, *, is_written: bool = True) -> None:
        self.row = row
        self.name = name
        self.is_written = is_written
        self.spoken = name.replace("_", " ")
        self.spoken_plural = f"{self.spoken[:-1]}ies" if name.endswith("y") else f"{self.spoken}s"
        self.path = f"/pricing/{self.spoken_plural.replace(' ', '-')}"
        self.fields = row.__struct_fields__
        self.entered = entered_type(row)

    @cached_property
    def taken_from(self) -> dict[str, str]:
        """The columns that orders take from, each with the field that says what a form saw of it."""
        return {name: _seen(name) for name in self.fields if name in _TAKEN_FROM}

    @cached_property
    def table(self) -> sa.Table:
        return Base.metadata.tables[self.name]

    @cached_property
    def references(self) -> dict[str, sa.Column[Any]]:
        """The columns that refer to other rows, each with what it refers to."""
        columns = (self.table.c[name] for name in self.fields)
        return {column.name: key.column for column in columns for key in column.foreign_keys}

    @cached_property
    def unique(self) -> list[tuple[str, ...]]:
        """The columns whose values no two rows may share, beside the id."""
        constraints = (each for each in self.table.constraints if isinstance(each, sa.UniqueConstraint))
        return sorted(tuple(column.name for column in each.columns) for each in constraints)

    @cached_property
    def filters(self) -> dict[str, type]:
        """The columns that a list can be narrowed by, each with its type: references, enumerations and codes."""
        found = {}
        for field in msgspec.structs.fields(self.row):
            kind = plain_type(field.type)
            is_enumeration = isinstance(kind, type) and issubclass(kind, StrEnum)
            if field.name in self.references or is_enumeration or Code in {field.type, *typing.get_args(field.type)}:
                found[field.name] = kind
        return found

    def row_of(self, entered: msgspec.Struct, row_id: UUID, former: Row | None) -> Row:
        """The row that a caller sent, its texts in their one spelling."""
        values = {name: getattr(entered, name) for name in self.fields if name != "id"}
        values = {name: normal_text(value) if type(value) is str else value for name, value in values.items()}
        kept = {name: getattr(former, name) for name in _KEPT.intersection(self.fields) if former is not None}
        return self.row(id=row_id, **(values | kept))


def entered_type(row: type[Row]) -> type[msgspec.Struct]:
    """A row as it is sent: an unknown field is refused, and what a person types has no control characters."""
    fields: list[Any] = [("id", UUID | None, None)]
    seen: list[Any] = []
    for field in msgspec.structs.fields(row):
        if field.name != "id":
            default = () if field.required else (field.default,)
            fields.append((field.name, _entered(field.type), *default))
        if field.name in _TAKEN_FROM:
            said = f"the {field.name} that was looked at: give it where a PUT changes that, which orders take from"
            seen.append((_seen(field.name), typing.Annotated[field.type, Meta(description=said)], None))
    return msgspec.defstruct(
        f"Entered{row.__name__}",
        fields + seen,
        namespace={"__doc__": row.__doc__},
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _seen(name: str) -> str:
    return f"seen_{name}"


def _entered(annotation: Any) -> Any:
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        parts = tuple(_entered(part) for part in typing.get_args(annotation))
        return typing.Union[parts]  # noqa: UP007  # the members are only known at run time
    return _ENTERED.get(annotation, annotation)


_WRITTEN: Final = (
    *(Segment, SegmentMember),
    *(PriceList, PriceListAssignment, CustomerPriceList, AgreedPrice),
    *(ProductQuantityRule, ListQuantityRule, DiscountLimit, PriceFloor),
    *(Promotion, PromotionAudience, PromotionTarget, PromotionTier, PromotionExclusion, PromotionCustomer),
    *(TaxRate, TaxExemption),
    *(ProductCost, MarginRule),
)
_LOOKED_AT: Final = (PriceEntry, PromotionUse)
"""Prices are changed by revisions, and uses are counted by orders."""

_NAMES: Final = {synced.row: name for name, synced in BY_NAME.items()} | {ProductCost: "product_cost", MarginRule: "margin_rule"}
KINDS: Final = (
    *(Kind(row, _NAMES[row]) for row in _WRITTEN),
    *(Kind(row, _NAMES[row], is_written=False) for row in _LOOKED_AT),
)
BY_KIND: Final = {kind.row: kind for kind in KINDS}
