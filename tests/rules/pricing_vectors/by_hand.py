"""Prices that are given by hand, and who must agree to them: P-65 to P-68."""

from uuid import UUID

from sync_protocol.entities.pricing import DiscountLimit, PriceFloor, TaxTreatment
from sync_protocol.intents import ManualPrice
from tests.rules.pricing_vectors.declare import address, key, line, named, offer, price, price_list, rate, target, targeted, vector

ABOVE, FLOOR = "manual_price_above_limit", "below_floor"
REP = key("rep", "anna")
HOLDS = "holds"


def limit(basis_points: int, role: str = "rep", rep_id: UUID | None = None) -> DiscountLimit:
    made: DiscountLimit = named(DiscountLimit, "", role=role, discount_basis_points=basis_points, rep_id=rep_id)
    return made


def floor(unit_price: int, currency: str = "EUR") -> PriceFloor:
    made: PriceFloor = named(PriceFloor, "", product_id=key("product", "bolt"), currency=currency, unit_price=unit_price)
    return made


def off(basis_points: int) -> ManualPrice:
    return ManualPrice(reason="old friend", discount_basis_points=basis_points)


def at_price(unit_price: int) -> ManualPrice:
    return ManualPrice(reason="as agreed", unit_price=unit_price)


TEN = price("bolt", 10_000)

VECTORS = [
    vector(
        "a unit price by hand is a step from what would have been",
        "P-65",
        TEN,
        limit(5_000),
        line("bolt", 10, manual=at_price(8_000)),
        so={
            "source": "manual",
            "rule_id": None,
            "unit_price": 8_000,
            "gross_minor": 1_000,
            "steps.*.amount_minor": [-200],
            "steps.*.kind": ["manual"],
            "steps.*.code": ["as agreed"],
            "steps.*.rule_id": [None],
            "candidates.*.fate": ["won"],
            "discount_minor": 200,
            HOLDS: [],
        },
    ),
    vector(
        "a unit price by hand that is higher is a discount below zero, and is not held",
        "P-65 P-67 P-73",
        TEN,
        line("bolt", 10, manual=at_price(12_000)),
        so={"discount_minor": -200, "total_minor": 1_200, HOLDS: []},
    ),
    vector(
        "a unit price by hand that changes nothing has no step",
        "P-65",
        TEN,
        line("bolt", 10, manual=at_price(10_000)),
        so={"steps": [], "source": "manual", HOLDS: []},
    ),
    vector(
        "a unit price by hand is for the pack of the price that it replaces",
        "P-65",
        price("bolt", 100_000, per_quantity=12),
        limit(5_000),
        line("bolt", 24, pack_quantity=12, manual=at_price(90_000)),
        so={"per_quantity": 12, "gross_minor": 2_000, "total_minor": 1_800},
    ),
    vector(
        "a unit price by hand of zero",
        "P-65 P-67",
        TEN,
        limit(9_999),
        line("bolt", manual=at_price(0)),
        so={"unit_price": 0, "total_minor": 0, HOLDS: [ABOVE]},
    ),
    vector(
        "no offer of the line phase touches a unit price by hand, one of the order phase does",
        "P-53 P-65",
        TEN,
        limit(10_000),
        offer("percent", "line", value_basis_points=1_000),
        offer("percent", "order", phase="order", value_basis_points=1_000),
        line("bolt", 10, manual=at_price(8_000)),
        so={
            "offers.*.fate": ["manual_price", "given"],
            "missed.*.fate": ["manual_price"],
            "steps.*.kind": ["manual", "order_share"],
            "total_minor": 720,
        },
    ),
    vector(
        "an offer goes to the other lines",
        "P-53",
        TEN,
        limit(10_000),
        offer("percent", value_basis_points=1_000),
        line("bolt", 10, manual=at_price(8_000)),
        line("bolt", 10),
        so={"offers.*.fate": ["given"], "offers.0.amount_minor": 100, "lines.*.total_minor": [800, 900]},
    ),
    vector(
        "a discount by hand comes after the line phase, before the order phase",
        "P-66",
        TEN,
        limit(10_000),
        offer("percent", "line", value_basis_points=1_000),
        offer("percent", "order", phase="order", value_basis_points=1_000),
        line("bolt", 10, manual=off(5_000)),
        so={
            "steps.*.kind": ["promotion", "manual", "order_share"],
            "steps.*.amount_minor": [-100, -450, -45],
            "steps.*.after_minor": [900, 450, 405],
            "discount_minor": 550,
            "order_discount_minor": 45,
        },
    ),
    vector(
        "what a discount by hand leaves of a line without a step is rounded once, of another it is of the amount",
        "P-55 P-66",
        price("bolt", 10_500),
        price("nut", 11_500),
        limit(1_000),
        targeted("amount", value_unit_price=1_000),
        target("nut"),
        line("bolt", manual=off(1_000)),
        line("nut", manual=off(1_000)),
        so={"lines.*.gross_minor": [105, 115], "lines.*.discount_minor": [10, 21], "lines.*.total_minor": [95, 94]},
    ),
    vector(
        "a discount of exactly the limit, though rounding makes it more",
        "P-66 P-67",
        price("bolt", 10_600),
        limit(1_000),
        line("bolt", manual=off(1_000)),
        so={"gross_minor": 106, "total_minor": 95, HOLDS: []},
    ),
    vector(
        "a discount of a hundredth of a percent more than the limit",
        "P-67",
        TEN,
        limit(1_000),
        line("bolt", 10, manual=off(1_001)),
        so={"total_minor": 900, HOLDS: [ABOVE]},
    ),
    vector(
        "a unit price of exactly the limit, though rounding makes it more",
        "P-67",
        price("bolt", 10_050),
        limit(1_000),
        line("bolt", manual=at_price(9_045)),
        so={"gross_minor": 101, "total_minor": 90, HOLDS: []},
    ),
    vector(
        "a unit price of a ten-thousandth more than the limit",
        "P-67",
        price("bolt", 10_050),
        limit(1_000),
        line("bolt", manual=at_price(9_044)),
        so={"total_minor": 90, HOLDS: [ABOVE]},
    ),
    vector(
        "a unit price where there is none is always held",
        "P-65 P-67",
        price("nut", 1),
        limit(10_000),
        line("bolt", 2, manual=at_price(9_000)),
        so={"gross_minor": 0, "discount_minor": -180, "per_quantity": 1, HOLDS: [ABOVE]},
    ),
    vector(
        "without a limit any discount is held",
        "P-67",
        TEN,
        limit(10_000, "manager"),
        line("bolt", manual=off(1)),
        so={HOLDS: [ABOVE], "steps": []},
    ),
    vector(
        "of several limits of a role the largest",
        "P-67",
        TEN,
        limit(1_000),
        limit(2_000),
        line("bolt", manual=off(2_000)),
        so={HOLDS: []},
    ),
    vector(
        "the limit of a rep stands for that of its role, also where it is smaller",
        "P-67",
        TEN,
        limit(5_000),
        limit(500, rep_id=REP),
        limit(9_000, rep_id=key("rep", "bert")),
        line("bolt", manual=off(1_000)),
        rep_id=REP,
        so={HOLDS: [ABOVE]},
    ),
    vector(
        "a rep without a limit of its own has that of its role",
        "P-67",
        TEN,
        limit(5_000),
        limit(500, rep_id=key("rep", "bert")),
        line("bolt", manual=off(1_000)),
        rep_id=REP,
        so={HOLDS: []},
    ),
    vector(
        "what another rep may is no limit of the role",
        "P-67",
        TEN,
        limit(500),
        limit(9_000, rep_id=key("rep", "bert")),
        line("bolt", manual=off(1_000)),
        so={HOLDS: [ABOVE]},
    ),
    vector(
        "a discount by hand on what has no price is below no floor",
        "P-31 P-68",
        price("nut", 1),
        floor(10_000),
        line("bolt", manual=off(1_000)),
        so={HOLDS: [], "lines.0.obstacle": "not_listed"},
    ),
    vector(
        "a manager's limit",
        "P-67",
        TEN,
        limit(500),
        limit(5_000, "manager"),
        line("bolt", manual=off(1_000)),
        role="manager",
        so={HOLDS: []},
    ),
    vector(
        "exactly at the floor, though rounding makes it less",
        "P-68",
        TEN,
        limit(10_000),
        floor(8_349),
        line("bolt", manual=at_price(8_349)),
        so={"total_minor": 83, HOLDS: []},
    ),
    vector(
        "a cent below the floor",
        "P-68",
        TEN,
        limit(10_000),
        floor(8_400),
        line("bolt", 10, manual=at_price(8_390)),
        so={"total_minor": 839, HOLDS: [FLOOR]},
    ),
    vector(
        "above the limit and below the floor",
        "P-67 P-68",
        TEN,
        floor(9_500),
        line("bolt", 10, manual=off(1_000)),
        so={HOLDS: [ABOVE, FLOOR]},
    ),
    vector(
        "below the floor without a price by hand is nobody's business",
        "P-68",
        TEN,
        floor(20_000),
        offer("percent", value_basis_points=5_000),
        line("bolt"),
        so={"total_minor": 50, HOLDS: []},
    ),
    vector(
        "what the order gives off counts for the floor",
        "P-68",
        TEN,
        limit(10_000),
        floor(9_000),
        offer("percent", phase="order", value_basis_points=1_000),
        line("bolt", 10, manual=off(500)),
        so={"amount_minor": 855, HOLDS: [FLOOR]},
    ),
    vector(
        "the floor is without tax",
        "P-68 P-72",
        address("home"),
        rate(250_000),
        price_list("main", tax_treatment=TaxTreatment.INCLUSIVE),
        price("bolt", 10_000),
        limit(10_000),
        floor(8_000),
        line("bolt", 10, manual=at_price(9_999)),
        so={"total_minor": 1_000, "amount_minor": 800, HOLDS: []},
    ),
    vector(
        "the highest floor counts, of this currency",
        "P-68",
        TEN,
        limit(10_000),
        floor(100),
        floor(9_600),
        floor(20_000, "CHF"),
        line("bolt", 10, manual=off(500)),
        so={"total_minor": 950, HOLDS: [FLOOR]},
    ),
    vector(
        "of a unit price and a discount the unit price alone counts",
        "P-65 P-66",
        TEN,
        limit(10_000),
        line("bolt", 10, manual=ManualPrice(reason="both", unit_price=9_000, discount_basis_points=5_000)),
        so={"total_minor": 900, "steps.*.amount_minor": [-100]},
    ),
    vector(
        "neither of the two is no price by hand",
        "P-65 P-68",
        TEN,
        floor(20_000),
        line("bolt", manual=ManualPrice(reason="neither")),
        so={"source": "customer", "steps": [], HOLDS: []},
    ),
]
