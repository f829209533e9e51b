"""What a naive reader of docs/PRICING.md needs first: rows in a book, rounding, sharing, validity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Protocol, TypeVar
from uuid import UUID

from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer, SegmentMember
from sync_protocol.entities.pricing import AgreedPrice, PriceEntry, PriceList
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.explanation import Fate, LinePrice, Missed, Obstacle, Step, StepKind
from sync_protocol.values import Row, minor_digits

Book = Mapping[type[Row], Sequence[Row]]
"""All rows of a company, in any order."""

R = TypeVar("R", bound=Row)


class Timed(Protocol):
    """A row that is valid for a while."""

    @property
    def valid_from_ms(self) -> int: ...

    @property
    def valid_until_ms(self) -> int | None: ...


@dataclass(kw_only=True)
class Offered:
    """A candidate of a line (P-20). `nearness` is smaller where it is nearer."""

    row: AgreedPrice | PriceEntry
    source: str
    nearness: int
    price_list: PriceList | None


@dataclass(kw_only=True)
class Working:
    """A line on its way to its price."""

    line: BasketLine
    product: Product | None
    candidates: list[Offered] = field(default_factory=list)
    winner: Offered | None = None
    obstacle: Obstacle | None = None
    gross: int = 0
    amount: int = 0
    steps: list[Step] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    given: set[UUID] = field(default_factory=set)

    @property
    def price_by_hand(self) -> int | None:
        """The unit price by hand."""
        return self.line.manual.unit_price if self.line.manual else None

    @property
    def discount_by_hand(self) -> int | None:
        """The discount by hand, which does not count beside a unit price (The basket)."""
        return self.line.manual.discount_basis_points if self.line.manual and self.line.manual.unit_price is None else None

    @property
    def is_priced(self) -> bool:
        """Whether the line has a price (P-30, P-31)."""
        unsold = self.obstacle in {Obstacle.UNKNOWN_PRODUCT, Obstacle.PRODUCT_DISCONTINUED}
        return not unsold and (self.winner is not None or self.price_by_hand is not None)

    def move(self, kind: StepKind, rule_id: UUID | None, code: str, change: int) -> None:
        """Add to the amount; what was not changed has no step."""
        if change != 0:
            self.amount += change
            self.steps.append(Step(kind=kind, rule_id=rule_id, code=code, amount_minor=change, after_minor=self.amount))


@dataclass(kw_only=True)
class Question:
    """The book and the basket, with what all rules ask of them."""

    book: Book
    basket: Basket
    customer: Customer
    currency: str = ""
    lines: list[Working] = field(default_factory=list)
    gifts: list[LinePrice] = field(default_factory=list)
    sorted_rows: dict[type[Row], list[Row]] = field(default_factory=dict)

    def rows(self, kind: type[R]) -> list[R]:
        """All rows of a kind, by their ids (P-4)."""
        if kind not in self.sorted_rows:
            self.sorted_rows[kind] = sorted(self.book.get(kind, ()), key=lambda row: row.id.bytes)
        return [row for row in self.sorted_rows[kind] if isinstance(row, kind)]

    def row(self, kind: type[R], row_id: UUID | None) -> R | None:
        """The row of an id, or None."""
        return next((row for row in self.rows(kind) if row.id == row_id), None)

    def is_valid(self, row: Timed) -> bool:
        """P-5."""
        return self.untimely(row) is None

    def untimely(self, row: Timed) -> Fate | None:
        """Why a row is not valid at the basket's instant (P-5)."""
        if self.basket.instant_ms < row.valid_from_ms:
            return Fate.NOT_YET_VALID
        if row.valid_until_ms is not None and self.basket.instant_ms >= row.valid_until_ms:
            return Fate.EXPIRED
        return None

    def segments(self) -> set[UUID]:
        """The segments of which the customer has a valid membership (P-10)."""
        members = self.rows(SegmentMember)
        return {each.segment_id for each in members if each.customer_id == self.customer.id and self.is_valid(each)}

    def in_order(self) -> list[Working]:
        """Lines in order (P-4)."""
        return sorted(self.lines, key=lambda each: each.line.line_id.bytes)

    def percent_off(self, working: Working, basis_points: int) -> int:
        """P-55."""
        if working.steps:
            return rounded(Fraction(working.amount * basis_points, 10_000))
        assert working.winner is not None
        price, quantity = working.winner.row, working.line.quantity
        exact = Fraction(price.unit_price * quantity * 10 ** minor_digits(self.currency), 10_000 * price.per_quantity)
        return working.amount - rounded(exact * Fraction(10_000 - basis_points, 10_000))

    def gross(self, unit_price: int, quantity: int, per_quantity: int = 1) -> int:
        """P-2."""
        return rounded(Fraction(unit_price * quantity * 10 ** minor_digits(self.currency), 10_000 * per_quantity))


def rounded(exact: Fraction) -> int:
    """The nearest integer; a half goes away from zero (P-2)."""
    magnitude = floor(abs(exact) + Fraction(1, 2))
    return magnitude if exact >= 0 else -magnitude


def share(total: int, weights: Sequence[int]) -> list[int]:
    """P-3."""
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [floor(each) for each in exact]
    while sum(parts) < total:
        remainders = [each - part for each, part in zip(exact, parts, strict=True)]
        parts[remainders.index(max(remainders))] += 1
    return parts
