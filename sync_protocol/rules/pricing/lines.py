"""A line while it is being priced."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.pricing import TaxTreatment
from sync_protocol.rules.pricing.amounts import gross_amount, percentage
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.candidates import Found, find_price, price_gap, price_obstacle
from sync_protocol.rules.pricing.explanation import (
    Gap,
    Missed,
    Obstacle,
    PriceHold,
    QuantityAnswer,
    Step,
    StepKind,
)
from sync_protocol.rules.pricing.facts import Facts
from sync_protocol.rules.pricing.quantities import quantity_answers
from sync_protocol.values import BASIS_POINTS

NOTHING_FOUND: Final = Found((), None)


class LineState:
    """What is known of a line so far. `running` is what it comes to by now, in minor units."""

    __slots__ = (
        "categories",
        "discount",
        "found",
        "gap",
        "given",
        "gross",
        "groups",
        "holds",
        "is_priced",
        "line",
        "missed",
        "obstacle",
        "order_discount",
        "product",
        "quantities",
        "running",
        "stands_alone",
        "steps",
    )

    def __init__(self, line: BasketLine, product: Product | None, categories: tuple[UUID, ...]) -> None:
        self.line = line
        self.product = product
        self.categories = categories
        self.found = NOTHING_FOUND
        self.obstacle: Obstacle | None = None
        self.quantities: tuple[QuantityAnswer, ...] = ()
        self.gap: Gap | None = None
        self.is_priced = False
        self.gross = 0
        self.running = 0
        self.discount = 0
        self.order_discount = 0
        self.steps: list[Step] = []
        self.missed: list[Missed] = []
        self.given: set[UUID] = set()
        self.groups: set[str] = set()
        self.stands_alone = False
        self.holds: set[PriceHold] = set()

    @property
    def has_price_by_hand(self) -> bool:
        """Whether its unit price was given by hand (P-65)."""
        return self.price_by_hand is not None

    @property
    def price_by_hand(self) -> int | None:
        """The unit price that was given by hand."""
        return self.line.manual.unit_price if self.line.manual is not None else None

    @property
    def reason_by_hand(self) -> str:
        """Why a price was given by hand."""
        return self.line.manual.reason if self.line.manual is not None else ""

    @property
    def is_changed_by_hand(self) -> bool:
        """Whether a price or a discount was given by hand."""
        manual = self.line.manual
        return manual is not None and not (manual.unit_price is None and manual.discount_basis_points is None)

    @property
    def per_quantity(self) -> int:
        """For how many base units its unit price is."""
        return self.found.winner.price.per_quantity if self.found.winner is not None else 1

    @property
    def tax_treatment(self) -> TaxTreatment:
        """Whether what it comes to holds its tax."""
        return self.found.winner.tax_treatment if self.found.winner is not None else TaxTreatment.EXCLUSIVE

    def percent_off(self, basis_points: int, minor_digits: int) -> int:
        """So many hundredths of a percent of it; what is left of a line without a step is rounded but once (P-55)."""
        if self.steps or self.found.winner is None:
            return percentage(self.running, basis_points)
        price = self.found.winner.price
        left = gross_amount(price.unit_price, price.per_quantity, self.line.quantity, minor_digits, basis_points)
        return self.running - left

    def take(self, kind: StepKind, amount_minor: int, rule_id: UUID | None, code: str) -> None:
        """Take an amount off; nothing is no step."""
        if not amount_minor:
            return
        self.running -= amount_minor
        if kind is StepKind.ORDER_SHARE:
            self.order_discount += amount_minor
        else:
            self.discount += amount_minor
        self.steps.append(Step(kind=kind, rule_id=rule_id, code=code, amount_minor=-amount_minor, after_minor=self.running))


def opened(line: BasketLine, basket: Basket, facts: Facts, asked: Mapping[UUID, int], minor_digits: int) -> LineState:
    """A line with its price, before any offer."""
    product = facts.products.get(line.product_id)
    state = LineState(line, product, facts.categories_of(product) if facts.targets and product is not None else ())
    state.quantities = quantity_answers(line.product_id, line.quantity, facts)
    if product is None or product.status is ProductStatus.DISCONTINUED:
        state.obstacle = Obstacle.UNKNOWN_PRODUCT if product is None else Obstacle.PRODUCT_DISCONTINUED
        return state
    state.found = find_price(line, basket, facts, asked)
    if not state.has_price_by_hand:
        state.gap = price_gap(state.found, line, asked[line.product_id])
    winner = state.found.winner
    if winner is not None:
        state.gross = gross_amount(winner.price.unit_price, winner.price.per_quantity, line.quantity, minor_digits)
    state.is_priced = winner is not None or state.has_price_by_hand
    state.running = state.gross
    if not state.is_priced:
        state.obstacle = price_obstacle(state.found, facts)
    elif line.quantity % line.pack_quantity:
        state.obstacle = Obstacle.NOT_IN_PACKS
    elif any(answer.strength == "required" and not answer.is_kept for answer in state.quantities):
        state.obstacle = Obstacle.QUANTITY_NOT_SOLD
    return state


def put_price_by_hand(state: LineState, limit_basis_points: int, minor_digits: int) -> None:
    """The unit price that was given by hand in place of the one that was found (P-65, P-67)."""
    if not state.is_priced or state.price_by_hand is None:
        return
    winner = state.found.winner
    if winner is None or _is_above(winner.price.unit_price - state.price_by_hand, limit_basis_points, winner.price.unit_price):
        state.holds.add(PriceHold.MANUAL_PRICE_ABOVE_LIMIT)
    by_hand = gross_amount(state.price_by_hand, state.per_quantity, state.line.quantity, minor_digits)
    state.take(StepKind.MANUAL, state.gross - by_hand, None, state.reason_by_hand)


def _is_above(off: int, limit_basis_points: int, of: int) -> bool:
    return off * BASIS_POINTS > limit_basis_points * of


def take_discount_by_hand(state: LineState, limit_basis_points: int, minor_digits: int) -> None:
    """The discount that was given by hand, of what offers have left (P-66, P-67)."""
    manual = state.line.manual
    if manual is None or manual.discount_basis_points is None or state.has_price_by_hand or not state.is_priced:
        return
    if manual.discount_basis_points > limit_basis_points:
        state.holds.add(PriceHold.MANUAL_PRICE_ABOVE_LIMIT)
    off = state.percent_off(manual.discount_basis_points, minor_digits)
    state.take(StepKind.MANUAL, off, None, state.reason_by_hand)
