"""Which offers are considered, in which order, and to whom they go: P-50 to P-52."""

from sync_protocol.entities.catalog import Category
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.promotions import (
    Audience,
    PromotionAudience,
    PromotionCustomer,
    PromotionStatus,
    PromotionUse,
    Stacking,
)
from tests.rules.pricing_vectors.declare import (
    NOW_MS,
    customer,
    key,
    line,
    member,
    named,
    offer,
    price,
    price_list,
    product,
    target,
    targeted,
    vector,
)

LISTED, ALONE = Audience.LISTED, Stacking.ALONE
TEN, NUT = price("bolt", 100_000), price("nut", 100_000)
FATES, CODES, GIVEN = "offers.*.fate", "offers.*.code", "offers.*.amount_minor"
HERE = customer(price_list_id=key("price_list", "main"), territory_id=key("territory", "north"))


def category(name: str, under: str | None = None) -> Category:
    parent_id = key("category", under) if under else None
    made: Category = named(Category, name, code=name, name=name, parent_id=parent_id)
    return made


def listed(**fields: object) -> PromotionAudience:
    made: PromotionAudience = named(PromotionAudience, "", promotion_id=key("promotion", "offer"), **fields)
    return made


def listed_customer(name: str) -> PromotionCustomer:
    ids = {"promotion_id": key("promotion", "offer"), "customer_id": key("customer", name)}
    made: PromotionCustomer = named(PromotionCustomer, "", **ids)
    return made


def used(uses: int, by: str = "buyer") -> PromotionUse:
    ids = {"promotion_id": key("promotion", "offer"), "customer_id": key("customer", by)}
    made: PromotionUse = named(PromotionUse, "", uses=uses, **ids)
    return made


def tenth(name: str = "offer", phase: str = "line", **fields: object) -> object:
    return offer("percent", name, phase, value_basis_points=1_000, **fields)


CONSIDERED = [
    vector(
        "an offer that is paused, not valid yet or not any more is not considered",
        "P-5 P-50",
        TEN,
        tenth("a", status=PromotionStatus.PAUSED),
        tenth("b", valid_from_ms=NOW_MS + 1),
        tenth("c", valid_until_ms=NOW_MS),
        tenth("d", valid_from_ms=NOW_MS, valid_until_ms=NOW_MS + 1),
        line("bolt"),
        so={CODES: ["D"], FATES: ["given"], "total_minor": 900},
    ),
    vector(
        "an offer on another product is not considered",
        "P-50",
        TEN,
        targeted("percent", value_basis_points=1_000),
        target("nut"),
        line("bolt"),
        so={"offers": [], "total_minor": 1_000},
    ),
    vector(
        "an offer on a product",
        "P-50",
        TEN,
        NUT,
        targeted("percent", value_basis_points=1_000),
        target("nut"),
        line("bolt"),
        line("nut"),
        so={"lines.*.total_minor": [1_000, 900]},
    ),
    vector(
        "an offer on a category is on all below it",
        "P-50",
        category("tools"),
        category("small", "tools"),
        category("tiny", "small"),
        product("bolt", category="tiny"),
        product("nut", category="tools"),
        product("screw"),
        *(price(name, 100_000) for name in ("bolt", "nut", "screw")),
        targeted("percent", value_basis_points=1_000),
        target(None, category="small"),
        line("bolt"),
        line("nut"),
        line("screw"),
        so={"lines.*.total_minor": [900, 1_000, 1_000]},
    ),
    vector(
        "categories that go in a circle",
        "P-50",
        category("a", "b"),
        category("b", "a"),
        product("bolt", category="a"),
        TEN,
        targeted("percent", value_basis_points=1_000),
        target(None, category="b"),
        line("bolt"),
        so={GIVEN: [100]},
    ),
    vector(
        "a category that is not there is that of its products all the same",
        "P-50",
        product("bolt", category="ghost"),
        TEN,
        targeted("percent", value_basis_points=1_000),
        target(None, category="ghost"),
        line("bolt"),
        so={GIVEN: [100]},
    ),
    vector(
        "an offer that gives something else is considered where that is there, and misses what is bought for it",
        "P-50 P-58",
        TEN,
        targeted("buy_x_get_y", buy_quantity=2, get_quantity=1, value_basis_points=10_000),
        target("nut"),
        target("bolt", "get"),
        line("bolt"),
        so={FATES: ["below_threshold"], "offers.0.gap.missing_quantity": 2, "offers.0.gap.basis_points": 10_000},
    ),
    vector(
        "an offer on everything is not considered where nothing has a price",
        "P-50",
        price_list("main"),
        price("nut", 1),
        tenth(),
        line("bolt"),
        so={"offers": []},
    ),
    vector(
        "phase, then priority, then id",
        "P-4 P-51",
        TEN,
        tenth("d", phase="freight", priority=9),
        tenth("c", phase="order", priority=8),
        tenth("b", priority=1),
        tenth("a", priority=1),
        tenth("e", priority=2),
        line("bolt"),
        freight_minor=500,
        so={CODES: ["E", "A", "B", "C", "D"], GIVEN: [100, 90, 81, 73, 50], "total_minor": 656 + 450},
    ),
]

REFUSED = [
    vector(
        "an offer that names another currency",
        "P-52",
        TEN,
        tenth("a", currency="CHF"),
        tenth("b", currency="EUR"),
        line("bolt"),
        so={FATES: ["currency_differs", "given"]},
    ),
    vector(
        "an offer for those who are listed, and the customer is not",
        "P-52",
        TEN,
        tenth(audience=LISTED),
        listed_customer("other"),
        line("bolt"),
        so={FATES: ["not_eligible"], "offers.*.gap": [None]},
    ),
    vector(
        "a customer that is listed", "P-52", TEN, tenth(audience=LISTED), listed_customer("buyer"), line("bolt"), so={GIVEN: [100]}
    ),
    vector(
        "a segment, a territory and a channel that all fit",
        "P-52",
        HERE,
        member("gold"),
        TEN,
        tenth(audience=LISTED),
        listed(segment_id=key("segment", "gold"), territory_id=key("territory", "north"), channel=Channel.REP),
        line("bolt"),
        so={GIVEN: [100]},
    ),
    vector(
        "a segment of before, another territory, another channel: no row fits whole",
        "P-5 P-52",
        HERE,
        member("gold", valid_until_ms=NOW_MS),
        member("blue"),
        TEN,
        tenth(audience=LISTED),
        listed(segment_id=key("segment", "gold")),
        listed(segment_id=key("segment", "blue"), territory_id=key("territory", "south")),
        listed(territory_id=key("territory", "north"), channel=Channel.ONLINE),
        line("bolt"),
        so={FATES: ["not_eligible"]},
    ),
    vector(
        "an audience that names nothing is everyone",
        "P-52",
        TEN,
        tenth(audience=LISTED),
        listed(),
        line("bolt"),
        so={GIVEN: [100]},
    ),
    vector(
        "the last use is left",
        "P-52",
        TEN,
        tenth(uses_per_customer=2),
        used(1),
        used(9, by="other"),
        line("bolt"),
        so={GIVEN: [100]},
    ),
    vector("all uses are spent", "P-52", TEN, tenth(uses_per_customer=2), used(2), line("bolt"), so={FATES: ["uses_spent"]}),
    vector(
        "the budget is spent",
        "P-52",
        TEN,
        tenth(budget_minor=500, spent_minor=500),
        line("bolt"),
        so={FATES: ["budget_spent"], "total_minor": 1_000},
    ),
    vector(
        "the first reason is told: currency, audience, uses, budget",
        "P-52",
        TEN,
        tenth("a", currency="CHF", audience=LISTED, budget_minor=0),
        tenth("b", audience=LISTED, budget_minor=0),
        tenth("offer", uses_per_customer=1, budget_minor=0),
        tenth("z", uses_per_customer=1, budget_minor=0),
        used(1),
        line("bolt"),
        so={FATES: ["currency_differs", "not_eligible", "uses_spent", "budget_spent"]},
    ),
]
