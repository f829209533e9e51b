"""Why a line or a basket cannot be bought as it is, and what it would cost all the same: P-30 to P-32, P-40 to P-43."""

from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.pricing import ListQuantityRule, ProductQuantityRule, Strength
from sync_protocol.intents import ManualPrice
from tests.rules.pricing_vectors.declare import (
    GHOST,
    NOW_MS,
    address,
    agreed,
    customer,
    key,
    line,
    named,
    offer,
    own,
    price,
    price_list,
    product,
    rate,
    vector,
)

REQUIRED, RECOMMENDED = Strength.REQUIRED, Strength.RECOMMENDED
BOLT = price("bolt", 10_000)
OBSTACLE = "lines.0.obstacle"
KEPT = "quantities.*.is_kept"


def rule(strength: Strength = REQUIRED, **fields: int) -> ProductQuantityRule:
    made: ProductQuantityRule = named(ProductQuantityRule, "", product_id=key("product", "bolt"), strength=strength, **fields)
    return made


def list_rule(on: str, strength: Strength = REQUIRED, **fields: int) -> ListQuantityRule:
    ids = {"price_list_id": key("price_list", on), "product_id": key("product", "bolt")}
    made: ListQuantityRule = named(ListQuantityRule, "", strength=strength, **ids, **fields)
    return made


def answer(strength: str, kept: tuple[int | None, int | None] | None, **fields: int) -> dict[str, object]:
    """An answer to a quantity: kept, or the nearest below and above."""
    below, above = kept or (None, None)
    given = {name: fields.get(name) for name in ("minimum", "multiple", "pack")}
    return {"strength": strength, **given, "is_kept": kept is None, "below": below, "above": above}


LINES = [
    vector(
        "a product that is not there, by hand or not",
        "P-30 P-31",
        BOLT,
        line(GHOST, manual=ManualPrice(reason="trust me", unit_price=10_000)),
        line("bolt"),
        so={"lines.*.obstacle": ["unknown_product", None], "lines.*.total_minor": [0, 100], "lines.0.holds": [], "obstacle": None},
    ),
    vector(
        "a product that is discontinued",
        "P-20 P-30 P-31",
        product("bolt", status=ProductStatus.DISCONTINUED, tax_code="reduced"),
        BOLT,
        offer("percent", value_basis_points=1_000),
        line("bolt", manual=ManualPrice(reason="last one", discount_basis_points=100)),
        so={OBSTACLE: "product_discontinued", "candidates": [], "unit_price": None, "tax_code": "reduced", "offers": []},
    ),
    vector(
        "no list at all",
        "P-30",
        customer(),
        line("bolt"),
        so={OBSTACLE: "no_list", "lists": [], "tax_code": "standard"},
    ),
    vector(
        "a list, and the product is not on it",
        "P-30",
        price("nut", 10_000),
        line("bolt"),
        so={OBSTACLE: "not_listed"},
    ),
    vector(
        "below the smallest break, with the gap to it",
        "P-30",
        price("bolt", 9_000, row="deep", min_quantity=20),
        price("bolt", 10_000, row="flat", min_quantity=10),
        line("bolt", 3),
        so={OBSTACLE: "below_smallest_break", "gap.missing_quantity": 7, "gap.rule_id": key("price_entry", "flat")},
    ),
    vector(
        "below the smallest break, and there is not enough left for it",
        "P-30",
        agreed("bolt", 10_000, min_quantity=10, remaining_quantity=9),
        price_list("main"),
        line("bolt", 3),
        so={OBSTACLE: "below_smallest_break", "gap": None},
    ),
    vector(
        "sold in packs of another size only",
        "P-30",
        price("bolt", 10_000, per_quantity=12),
        line("bolt", 6, pack_quantity=6),
        so={OBSTACLE: "other_unit", "candidates.*.fate": ["unit_differs"]},
    ),
    vector(
        "not sold yet",
        "P-30",
        price("bolt", 10_000, valid_from_ms=NOW_MS + 1),
        price("bolt", 10_000, valid_until_ms=NOW_MS),
        line("bolt"),
        so={OBSTACLE: "not_yet_sold"},
    ),
    vector("sold no longer", "P-30", price("bolt", 10_000, valid_until_ms=NOW_MS), line("bolt"), so={OBSTACLE: "no_longer_sold"}),
    vector(
        "all that was agreed is taken",
        "P-30",
        customer(),
        agreed("bolt", 10_000, remaining_quantity=0),
        line("bolt"),
        currency="EUR",
        so={OBSTACLE: "exhausted"},
    ),
    vector(
        "agreed for elsewhere is not listed",
        "P-30",
        address("home"),
        customer(),
        agreed("bolt", 10_000, at="home"),
        line("bolt"),
        currency="EUR",
        so={OBSTACLE: "not_listed", "candidates.*.fate": ["other_location"]},
    ),
    vector(
        "of several reasons the nearest to a price is told: a break",
        "P-30",
        price("bolt", 10_000, min_quantity=10),
        price("bolt", 10_000, per_quantity=12),
        price("bolt", 10_000, valid_from_ms=NOW_MS + 1),
        agreed("bolt", 10_000, currency="CHF"),
        agreed("bolt", 10_000, remaining_quantity=0),
        line("bolt"),
        so={OBSTACLE: "below_smallest_break", "gap.missing_quantity": 9},
    ),
    vector(
        "a unit price by hand stands in for one that is not there",
        "P-30 P-65",
        price("nut", 1),
        line("bolt", 2, manual=ManualPrice(reason="by phone", unit_price=5_000)),
        so={OBSTACLE: None, "source": "manual", "rule_id": None, "unit_price": 5_000, "total_minor": 100},
    ),
    vector(
        "a discount by hand does not, and comes to nothing",
        "P-30 P-31 P-67",
        price("nut", 1),
        line("bolt", 2, manual=ManualPrice(reason="by phone", discount_basis_points=5_000)),
        so={OBSTACLE: "not_listed", "holds": [], "steps": [], "total_minor": 0},
    ),
    vector(
        "a line without a price has no tax and no offer, and answers for its quantity",
        "P-31 P-40",
        address("home"),
        rate(190_000),
        offer("percent", value_basis_points=1_000),
        price("nut", 10_000),
        rule(minimum_quantity=2),
        line("bolt"),
        line("nut"),
        so={
            "lines.*.tax_jurisdiction": ["", "DE"],
            "lines.*.obstacle": ["not_listed", None],
            "quantities": [answer("required", (None, 2), minimum=2)],
            "offers.0.amount_minor": 10,
        },
    ),
    vector(
        "a quantity that is no multiple of its pack is priced all the same",
        "P-30 P-31 P-32",
        BOLT,
        line("bolt", 13, pack_quantity=12),
        so={OBSTACLE: "not_in_packs", "total_minor": 1_300},
    ),
    vector(
        "what is not in packs is told before what is not sold so",
        "P-30",
        BOLT,
        rule(minimum_quantity=100),
        line("bolt", 13, pack_quantity=12),
        so={OBSTACLE: "not_in_packs", KEPT: [False]},
    ),
]

QUANTITIES = [
    vector(
        "a minimum that is just kept",
        "P-40 P-41",
        BOLT,
        rule(minimum_quantity=10),
        line("bolt", 10),
        so={OBSTACLE: None, "quantities": [answer("required", None, minimum=10)]},
    ),
    vector(
        "below the minimum nothing is below",
        "P-41 P-42",
        BOLT,
        rule(minimum_quantity=10),
        line("bolt", 9),
        so={OBSTACLE: "quantity_not_sold", "quantities": [answer("required", (None, 10), minimum=10)], "total_minor": 900},
    ),
    vector(
        "between two multiples",
        "P-41 P-42",
        BOLT,
        rule(multiple_quantity=6),
        line("bolt", 13),
        so={OBSTACLE: "quantity_not_sold", "quantities": [answer("required", (12, 18), multiple=6)]},
    ),
    vector(
        "a multiple and a pack, and a minimum that is neither",
        "P-41",
        BOLT,
        rule(minimum_quantity=25, multiple_quantity=4, pack_quantity=6),
        line("bolt", 24),
        so={"quantities": [answer("required", (None, 36), minimum=25, multiple=4, pack=6)]},
    ),
    vector(
        "advice is not an obstacle",
        "P-41 P-42",
        BOLT,
        rule(RECOMMENDED, multiple_quantity=6),
        line("bolt", 13),
        so={OBSTACLE: None, "quantities": [answer("recommended", (12, 18), multiple=6)]},
    ),
    vector(
        "advice that is kept, and keeps what is required",
        "P-41",
        BOLT,
        rule(REQUIRED, minimum_quantity=4),
        rule(RECOMMENDED, multiple_quantity=6),
        line("bolt", 12),
        so={KEPT: [True, True], OBSTACLE: None},
    ),
    vector(
        "advice keeps what is required besides",
        "P-41",
        BOLT,
        rule(REQUIRED, minimum_quantity=10, multiple_quantity=4),
        rule(RECOMMENDED, minimum_quantity=5, multiple_quantity=6),
        line("bolt", 16),
        so={
            OBSTACLE: None,
            "quantities": [
                answer("required", None, minimum=10, multiple=4),
                answer("recommended", (12, 24), minimum=5, multiple=6),
            ],
        },
    ),
    vector(
        "a rule of the list for the product before the list itself, before the product",
        "P-40",
        price_list("main", minimum_quantity=7, multiple_quantity=7),
        BOLT,
        list_rule("main", minimum_quantity=2),
        rule(minimum_quantity=3, multiple_quantity=3, pack_quantity=5),
        line("bolt", 35),
        so={"quantities": [answer("required", None, minimum=2, multiple=7, pack=5)]},
    ),
    vector(
        "the nearer list before the farther, though the price is of the farther",
        "P-40",
        own("more"),
        price_list("more", minimum_quantity=2),
        price_list("main", minimum_quantity=50, pack_quantity=5),
        BOLT,
        line("bolt", 5),
        so={"rule_id": key("price_entry", "01"), "quantities": [answer("required", None, minimum=2, pack=5)]},
    ),
    vector(
        "a list that says all three",
        "P-40 P-41",
        price_list("main", minimum_quantity=5, multiple_quantity=4, pack_quantity=6),
        BOLT,
        line("bolt", 12),
        so={"quantities": [answer("required", None, minimum=5, multiple=4, pack=6)]},
    ),
    vector(
        "a list that is not used has no say",
        "P-40",
        own("more"),
        price_list("more", "CHF", minimum_quantity=2),
        price_list("main", "CHF"),
        own("past"),
        price_list("past", "CHF", minimum_quantity=9, valid_until_ms=NOW_MS),
        BOLT,
        line("bolt", 1),
        currency="EUR",
        so={"quantities": []},
    ),
    vector(
        "strengths are apart: a near recommendation leaves a far requirement as it is",
        "P-40",
        BOLT,
        list_rule("main", RECOMMENDED, minimum_quantity=100),
        rule(REQUIRED, minimum_quantity=2),
        line("bolt", 5),
        so={"quantities.*.minimum": [2, 100], KEPT: [True, False], "quantities.*.above": [None, 100]},
    ),
    vector(
        "of several rules of one level the largest value",
        "P-40",
        BOLT,
        rule(minimum_quantity=2, multiple_quantity=8),
        rule(minimum_quantity=4),
        rule(multiple_quantity=6),
        line("bolt", 8),
        so={"quantities": [answer("required", None, minimum=4, multiple=8)]},
    ),
    vector(
        "no quantity that there may be is above",
        "P-41",
        BOLT,
        rule(multiple_quantity=9_999_991, pack_quantity=2),
        line("bolt", 5),
        so={"quantities": [answer("required", (None, None), multiple=9_999_991, pack=2)]},
    ),
    vector(
        "the goods come to just what the order must",
        "P-43",
        price_list("main", order_minimum_minor=1_000),
        BOLT,
        line("bolt", 10),
        so={"obstacle": None, "order_minimum_gap": None},
    ),
    vector(
        "a cent is missing to the order minimum",
        "P-32 P-43",
        price_list("main", order_minimum_minor=1_001),
        BOLT,
        line("bolt", 10),
        freight_minor=500,
        so={
            "obstacle": "order_below_minimum",
            "order_minimum_gap.rule_id": key("price_list", "main"),
            "order_minimum_gap.missing_minor": 1,
            OBSTACLE: None,
        },
    ),
    vector(
        "the order minimum is of what is left after offers, without tax and freight",
        "P-43 P-73",
        address("home"),
        rate(190_000),
        price_list("main", order_minimum_minor=1_000),
        BOLT,
        offer("percent", phase="order", value_basis_points=1_000),
        line("bolt", 11),
        freight_minor=500,
        so={"goods_minor": 990, "order_minimum_gap.missing_minor": 10, "total_minor": 990 + 188 + 500},
    ),
    vector(
        "the nearest list that sets one sets it, and advice sets none",
        "P-43",
        own("more"),
        price_list("more", strength=RECOMMENDED, order_minimum_minor=9_999),
        own("most"),
        price_list("most", order_minimum_minor=200),
        price_list("main", order_minimum_minor=9_999),
        BOLT,
        line("bolt", 2),
        so={"obstacle": None},
    ),
    vector(
        "a basket without a price is not below a minimum",
        "P-43",
        price_list("main", order_minimum_minor=1_000),
        price("nut", 1),
        line("bolt"),
        so={"obstacle": None, "order_minimum_gap": None},
    ),
    vector(
        "the currency is the obstacle, and what is missing to the minimum is told",
        "P-13 P-32 P-43",
        own("more"),
        price_list("more", "CHF", order_minimum_minor=1),
        price_list("main", order_minimum_minor=1_000),
        BOLT,
        line("bolt", 2),
        currency="EUR",
        so={"obstacle": "currency_differs", "order_minimum_gap.missing_minor": 800},
    ),
]
