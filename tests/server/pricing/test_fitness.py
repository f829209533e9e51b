"""What makes no sense of a row though each value is within its limits: the field and the remedy are named."""

from typing import Any

import pytest

from server.pricing.promotion_kinds import READINGS, ROLES, VALUES
from sync_protocol.entities.promotions import PromotionKind, PromotionPhase, TargetRole
from tests.support.pricing import Body, PriceOffice

OFFER: Body = {"priority": 1, "stacking": "stackable", "audience": "everyone", "reach": "all", "status": "active"}
MONEY = {"value_unit_price": 5_0000, "value_minor": 500, "min_amount_minor": 1_000, "cap_minor": 900, "budget_minor": 9_000}
NUMBERS = {"value_basis_points": 1_000, "buy_quantity": 3, "get_quantity": 1, "repeats_max": 2}
EXAMPLES = {**MONEY, **NUMBERS}
EVERY_KIND = [(phase, kind) for phase, kinds in READINGS.items() for kind in kinds]
every_kind = pytest.mark.parametrize(("phase", "kind"), EVERY_KIND, ids=str)


def offer(phase: str, kind: str, **more: Any) -> Body:
    return {**OFFER, "code": "X", "name": "X", "phase": phase, "kind": kind, "status": "paused", "currency": "EUR", **more}


def needed(phase: PromotionPhase, kind: PromotionKind) -> Body:
    reading = READINGS[phase][kind]
    return {name: EXAMPLES[name] for name in (*reading.needs, *reading.one_of[:1])}


@every_kind
async def test_a_promotion_with_all_that_its_kind_reads_is_taken(
    office: PriceOffice, phase: PromotionPhase, kind: PromotionKind
) -> None:
    await office.post("promotions", **offer(phase, kind, **{name: EXAMPLES[name] for name in READINGS[phase][kind].reads}))


@every_kind
async def test_a_promotion_that_lacks_what_its_kind_needs_is_refused(
    office: PriceOffice, phase: PromotionPhase, kind: PromotionKind
) -> None:
    whole = needed(phase, kind)
    for name in whole:
        told = await office.unfit("promotions", offer(phase, kind, **{each: whole[each] for each in whole if each != name}))
        assert told.keys() == {name}
        assert "give it" in told[name]


@every_kind
async def test_a_value_that_its_kind_does_not_read_is_refused(
    office: PriceOffice, phase: PromotionPhase, kind: PromotionKind
) -> None:
    for name in sorted(set(VALUES) - READINGS[phase][kind].reads):
        told = await office.unfit("promotions", offer(phase, kind, **needed(phase, kind), **{name: EXAMPLES[name]}))
        assert told.keys() == {name}
        assert told[name].endswith("leave it out")


def test_every_value_of_a_promotion_is_read_by_some_kind() -> None:
    assert {name for kinds in READINGS.values() for reading in kinds.values() for name in reading.reads} == set(VALUES)
    assert set(ROLES) == set(TargetRole)


async def test_a_kind_is_refused_in_a_phase_that_does_not_have_it(office: PriceOffice) -> None:
    for phase in PromotionPhase:
        for kind in set(PromotionKind) - READINGS[phase].keys():
            told = await office.unfit("promotions", offer(phase, kind))
            assert told.keys() == {"kind"}
            assert f"{phase} phase, which has " in told["kind"]


@pytest.mark.parametrize("name", MONEY)
async def test_money_needs_a_currency(office: PriceOffice, name: str) -> None:
    phase, kind = next((phase, kind) for phase, kind in EVERY_KIND if name in READINGS[phase][kind].reads)
    values = {**needed(phase, kind), name: MONEY[name]}
    told = await office.unfit("promotions", offer(phase, kind, **values, currency=None))
    assert told.keys() == {"currency"}
    assert name in told["currency"]
    if name != "value_unit_price":
        assert (await office.unfit("promotions", offer(phase, kind, **{**values, name: -1})))[name].startswith("is below 0")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (offer("line", "volume_tiers"), "status"),
        (offer("line", "percent", value_basis_points=5, reach="targets"), "status"),
        (offer("line", "free_goods", buy_quantity=5), "status"),
        (offer("line", "bundle", value_minor=5, reach="targets"), "status"),
    ],
)
async def test_a_promotion_is_activated_when_its_parts_are_there(office: PriceOffice, body: Body, field: str) -> None:
    product = str(office.world.company.products[0].id)
    told = await office.unfit("promotions", {**body, "status": "active"})
    assert told.keys() == {field}
    assert "paused" in told[field]
    made = await office.post("promotions", **body)
    for role in TargetRole:
        if body["kind"] in ROLES[role]:
            await office.post("promotion-targets", promotion_id=made["id"], role=role, product_id=product)
    if body["kind"] == "volume_tiers":
        await office.post("promotion-tiers", promotion_id=made["id"], value_basis_points=5)
    assert (await office.put("promotions", made["id"], {**body, "status": "active"}, 200))["status"] == "active"


@pytest.mark.parametrize(
    ("kind", "target", "fields"),
    [
        ("bundle", {"role": "buy"}, {"role"}),
        ("percent", {"role": "gift"}, {"role"}),
        ("free_goods", {"role": "gift", "product_id": None, "category_id": "category"}, {"category_id"}),
        ("percent", {"role": "buy", "category_id": "category"}, {"category_id"}),
        ("percent", {"role": "buy", "product_id": None}, {"product_id"}),
        ("percent", {"role": "buy", "quantity": 3}, {"quantity"}),
        ("percent", {"role": "buy", "product_id": "nobody"}, {"product_id"}),
        ("percent", {"role": "buy", "promotion_id": "nobody"}, {"promotion_id"}),
    ],
)
async def test_a_target_that_its_promotion_does_not_read_is_refused(
    office: PriceOffice, kind: str, target: Body, fields: set[str]
) -> None:
    company = office.world.company
    known = {"nobody": office.new_id(), "category": str(company.category.id)}
    values = {name: EXAMPLES[name] for name in READINGS[PromotionPhase.LINE][PromotionKind(kind)].reads}
    promotion = await office.post("promotions", **offer("line", kind, **values))
    body = {"promotion_id": promotion["id"], "product_id": str(company.products[0].id), **target}
    told = await office.unfit("promotion-targets", {name: known.get(value, value) for name, value in body.items()})
    assert told.keys() == fields


async def test_tiers_are_reached_by_what_their_phase_counts(office: PriceOffice) -> None:
    line = await office.post("promotions", **offer("line", "volume_tiers"))
    order = await office.post("promotions", **{**offer("order", "volume_tiers"), "code": "Y"})
    poor = await office.post("promotions", **{**offer("order", "volume_tiers", currency=None), "code": "Z"})
    percent = await office.post("promotions", **{**offer("line", "percent", value_basis_points=5), "code": "P"})
    for promotion, tier, fields in (
        (line, {"min_amount_minor": 5}, {"min_amount_minor"}),
        (order, {"min_quantity": 5}, {"min_quantity"}),
        (order, {"min_amount_minor": -5}, {"min_amount_minor"}),
        (poor, {"min_amount_minor": 5}, {"min_amount_minor"}),
        (percent, {}, {"promotion_id"}),
    ):
        told = await office.unfit("promotion-tiers", {"promotion_id": promotion["id"], "value_basis_points": 5, **tier})
        assert told.keys() == fields
    await office.post("promotion-tiers", promotion_id=order["id"], value_basis_points=5, min_amount_minor=100)


async def test_a_promotion_keeps_a_kind_that_reads_its_targets(office: PriceOffice) -> None:
    bundle = offer("line", "bundle", value_minor=5)
    made = await office.post("promotions", **bundle)
    product = str(office.world.company.products[0].id)
    await office.post("promotion-targets", promotion_id=made["id"], role="part", product_id=product)
    percent = {**offer("line", "percent", value_basis_points=5), "status": "active"}
    told = await office.refused("PUT", f"promotions/{made['id']}", percent, 400, "unfit_price_row")
    assert told["fields"].keys() == {"kind"}


@pytest.mark.parametrize(
    ("path", "row", "field"),
    [
        ("segments", {"code": "  ", "name": "Gold"}, "code"),
        ("segments", {"code": "A", "name": "A", "id": "01a20197-2d5b-4c19-88ae-f62dff50c45c"}, "id"),
        ("price-lists", {"code": "A", "name": "A", "currency": "EUR", "valid_from_ms": 9, "valid_until_ms": 9}, "valid_until_ms"),
        ("price-lists", {"code": "A", "name": "A", "currency": "EUR", "order_minimum_minor": -1}, "order_minimum_minor"),
        ("product-quantity-rules", {"product_id": "product", "strength": "required"}, "minimum_quantity"),
        ("discount-limits", {"role": "cook", "discount_basis_points": 5}, "role"),
        ("discount-limits", {"role": "manager", "discount_basis_points": 5, "rep_id": "rep"}, "rep_id"),
        ("discount-limits", {"role": "rep", "discount_basis_points": 5, "rep_id": "nobody"}, "rep_id"),
        ("promotion-exclusions", {"promotion_id": "promotion", "other_id": "promotion"}, "other_id"),
        ("promotion-audiences", {"promotion_id": "promotion"}, "segment_id"),
        ("tax-exemptions", {"customer_id": "customer", "jurisdiction": "de", "certificate": "X"}, "jurisdiction"),
        (
            "customer-price-lists",
            {"customer_id": "customer", "price_list_id": "list", "priority": 1, "exclusivity": "shared", "address_id": "stranger"},
            "address_id",
        ),
        ("segment-members", {"customer_id": "nobody", "segment_id": "nobody"}, "customer_id"),
    ],
)
async def test_what_limits_cannot_say_is_said(office: PriceOffice, path: str, row: Body, field: str) -> None:
    company = office.world.company
    promotion = await office.post("promotions", **offer("line", "percent", value_basis_points=5))
    known = {
        "product": str(company.products[0].id),
        "rep": str(company.reps[0].id),
        "customer": str(company.customers[0].id),
        "list": str(company.price_lists[0].id),
        "stranger": str(company.addresses[1].id),
        "promotion": promotion["id"],
        "nobody": office.new_id(),
    }
    told = await office.unfit(path, {name: known.get(value, value) if value != "A" else value for name, value in row.items()})
    assert field in told
    assert told[field]


@pytest.mark.parametrize("currency", ["eur", "EURO", "E1R", "€", 5, None])
async def test_a_currency_that_is_none_in_form_is_named(office: PriceOffice, currency: Any) -> None:
    body = {"code": "A", "name": "A", "currency": currency}
    told = await office.refused("POST", "price-lists", body, 400, "invalid_request")
    assert told["fields"].keys() == {"currency"}


async def test_every_fault_of_a_row_is_said_at_once(office: PriceOffice) -> None:
    stranger = str(office.world.company.addresses[1].id)
    told = await office.unfit(
        "agreed-prices",
        {
            "customer_id": str(office.world.company.customers[0].id),
            "product_id": office.new_id(),
            "source": "quote",
            "reference": "Q",
            "currency": "EUR",
            "min_quantity": 1,
            "unit_price": 1,
            "address_id": stranger,
            "valid_from_ms": 5,
            "valid_until_ms": 4,
        },
    )
    assert told.keys() == {"product_id", "address_id", "valid_until_ms"}
