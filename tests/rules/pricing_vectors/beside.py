"""What stands beside what on a line: P-53."""

from sync_protocol.entities.promotions import (
    Audience,
    PromotionExclusion,
    Stacking,
)
from tests.rules.pricing_vectors.declare import (
    customer,
    key,
    line,
    named,
    offer,
    price,
    target,
    targeted,
    vector,
)

LISTED, ALONE = Audience.LISTED, Stacking.ALONE
TEN, NUT = price("bolt", 100_000), price("nut", 100_000)
FATES, CODES, GIVEN = "offers.*.fate", "offers.*.code", "offers.*.amount_minor"
HERE = customer(price_list_id=key("price_list", "main"), territory_id=key("territory", "north"))


def never_together(one: str, other: str) -> PromotionExclusion:
    ids = {"promotion_id": key("promotion", one), "other_id": key("promotion", other)}
    made: PromotionExclusion = named(PromotionExclusion, "", **ids)
    return made


def tenth(name: str = "offer", phase: str = "line", **fields: object) -> object:
    return offer("percent", name, phase, value_basis_points=1_000, **fields)


BESIDE = [
    vector(
        "offers that stack, each of what the last left",
        "P-51 P-53",
        TEN,
        tenth("a", priority=2),
        tenth("b", priority=1),
        line("bolt"),
        so={"steps.*.amount_minor": [-100, -90], "steps.*.after_minor": [900, 810], "steps.*.code": ["A", "B"], "missed": []},
    ),
    vector(
        "one that stands alone keeps others from its lines",
        "P-53",
        TEN,
        tenth("a", priority=2, stacking=ALONE),
        tenth("b", priority=1),
        line("bolt"),
        so={FATES: ["given", "alone_taken"], "missed.*.fate": ["alone_taken"], "missed.0.promotion_id": key("promotion", "b")},
    ),
    vector(
        "one that stands alone comes too late",
        "P-53",
        TEN,
        tenth("a", priority=2),
        tenth("b", priority=1, stacking=ALONE),
        line("bolt"),
        so={FATES: ["given", "not_alone"], "total_minor": 900},
    ),
    vector(
        "two of one group",
        "P-53",
        TEN,
        tenth("a", priority=2, exclusive_group="spring"),
        tenth("b", priority=1, exclusive_group="spring"),
        tenth("c", exclusive_group="summer"),
        line("bolt"),
        so={FATES: ["given", "group_taken", "given"], "total_minor": 810},
    ),
    vector(
        "two that exclude each other, whichever way they are paired",
        "P-53",
        TEN,
        tenth("a", priority=3),
        tenth("b", priority=2),
        tenth("c", priority=1),
        never_together("a", "b"),
        never_together("c", "a"),
        line("bolt"),
        so={FATES: ["given", "excluded", "excluded"], "missed.*.fate": ["excluded", "excluded"]},
    ),
    vector(
        "the first reason is told: alone before group before exclusion",
        "P-53",
        TEN,
        tenth("a", priority=3, exclusive_group="spring"),
        tenth("b", priority=2, exclusive_group="spring", stacking=ALONE),
        tenth("c", priority=1, exclusive_group="spring"),
        never_together("a", "b"),
        never_together("a", "c"),
        line("bolt"),
        so={FATES: ["given", "not_alone", "group_taken"]},
    ),
    vector(
        "it is kept from a line, not from the basket",
        "P-53",
        TEN,
        NUT,
        targeted("percent", "a", value_basis_points=1_000, priority=1, stacking=ALONE),
        target("bolt", of="a"),
        tenth("b"),
        line("bolt"),
        line("nut"),
        so={FATES: ["given", "given"], "lines.*.total_minor": [900, 900], "lines.*.missed.*.fate": [["alone_taken"], []]},
    ),
    vector(
        "an offer that gave nothing keeps none away",
        "P-53",
        price("bolt", 400),
        tenth("a", priority=2, stacking=ALONE),
        offer("percent", "b", value_basis_points=5_000),
        line("bolt"),
        so={FATES: ["no_gain", "given"], GIVEN: [0, 2]},
    ),
    vector(
        "an offer of the line phase keeps one of the order phase from its lines",
        "P-53 P-61",
        TEN,
        NUT,
        targeted("percent", "a", value_basis_points=1_000, stacking=ALONE),
        target("bolt", of="a"),
        tenth("b", phase="order"),
        line("bolt"),
        line("nut"),
        so={GIVEN: [100, 100], "lines.*.order_discount_minor": [0, 100]},
    ),
    vector(
        "nothing is kept from the freight",
        "P-53 P-61",
        TEN,
        tenth("a", stacking=ALONE, exclusive_group="spring"),
        tenth("b", phase="freight", exclusive_group="spring", stacking=ALONE),
        line("bolt"),
        freight_minor=500,
        so={GIVEN: [100, 50], "freight_minor": 450, "missed": []},
    ),
    vector(
        "a gift is given to the lines that it was bought with",
        "P-53 P-59",
        TEN,
        price("nut", 1),
        offer("free_goods", "a", buy_quantity=1, priority=1, stacking=ALONE),
        target("nut", "gift", of="a"),
        tenth("b"),
        line("bolt"),
        so={FATES: ["given", "alone_taken"], "total_minor": 1_000},
    ),
    vector(
        "lines that are kept do not count for what is to be bought",
        "P-53 P-54",
        TEN,
        NUT,
        targeted("percent", "a", value_basis_points=1_000, priority=1, stacking=ALONE),
        target("bolt", of="a"),
        tenth("b", buy_quantity=4),
        line("bolt", 3),
        line("nut", 3),
        so={FATES: ["given", "below_threshold"], "offers.1.gap.missing_quantity": 1, "lines.0.missed.*.fate": ["alone_taken"]},
    ),
    vector(
        "the fate is that of the first line in order, not in the basket",
        "P-4 P-53",
        TEN,
        NUT,
        targeted("percent", "a", value_basis_points=1_000, priority=2, stacking=ALONE),
        target("bolt", of="a"),
        targeted("percent", "b", value_basis_points=1_000, priority=1, exclusive_group="g"),
        target("nut", of="b"),
        tenth("c", exclusive_group="g"),
        line("nut", name="y"),
        line("bolt", name="x"),
        so={FATES: ["given", "given", "alone_taken"], "lines.*.missed.*.fate": [["group_taken"], ["alone_taken"]]},
    ),
    vector(
        "a line that a bundle does not read misses nothing by it",
        "P-53 P-60",
        TEN,
        NUT,
        tenth("a", priority=1, stacking=ALONE),
        offer("bundle", "b", value_minor=1),
        target("nut", "part", of="b"),
        line("bolt"),
        line("nut"),
        so={FATES: ["given", "alone_taken"], "lines.*.missed.*.fate": [[], ["alone_taken"]]},
    ),
]
