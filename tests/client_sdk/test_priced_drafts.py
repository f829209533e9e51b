"""Drafts with all that a price is made of: by hand, in packs, with offers; and what is refused before it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client_sdk import ManualPrice, OrderClient, OrderDraft, WantedLine
from client_sdk.cli_catalog import price as price_command
from client_sdk.cli_draft import show_draft
from client_sdk.cli_orders import drafts, order, orders
from client_sdk.cli_screen import Screen
from client_sdk.errors import (
    InvalidEntryError,
    ManualPriceError,
    NoPriceError,
    NotPermittedError,
    OrderBelowMinimumError,
    QuantityNotSoldError,
    RoadbookError,
)
from client_sdk.state import Identity, load, save
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import DiscountLimit, PriceEntry, PriceFloor, PriceList, ProductQuantityRule, Strength
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.rules.pricing.line_text import TypedLine
from sync_protocol.values import Row
from sync_protocol.verdicts import Code, Outcome
from tests.client_sdk.test_cli_handover import says
from tests.support.world import World, make_id

FIVE_PERCENT = ManualPrice(reason="  a good customer ", discount_basis_points=500)


def office_rows(world: World) -> list[Row]:
    """10 % off SKU-1 from six on, one SKU-5 for each four of SKU-4, packs of six of SKU-2, 21 % of tax."""
    products = world.company.products
    common: dict[str, Any] = {
        "phase": PromotionPhase.LINE,
        "status": PromotionStatus.ACTIVE,
        "priority": 1,
        "stacking": Stacking.STACKABLE,
        "audience": Audience.EVERYONE,
        "reach": Reach.TARGETS,
    }
    spring = Promotion(
        id=make_id(9_000),
        code="SPRING",
        name="Spring",
        kind=PromotionKind.PERCENT,
        value_basis_points=1_000,
        buy_quantity=6,
        **common,
    )
    brew = Promotion(id=make_id(9_001), code="BREW", name="Brew", kind=PromotionKind.FREE_GOODS, buy_quantity=4, **common)
    targets = ((spring, TargetRole.BUY, 1), (brew, TargetRole.BUY, 4), (brew, TargetRole.GIFT, 5))
    return [
        spring,
        brew,
        *(
            PromotionTarget(id=make_id(9_010 + place), promotion_id=promotion.id, role=role, product_id=products[number].id)
            for place, (promotion, role, number) in enumerate(targets)
        ),
        ProductQuantityRule(id=make_id(9_020), product_id=products[2].id, strength=Strength.REQUIRED, pack_quantity=6),
        TaxRate(
            id=make_id(9_030),
            jurisdiction="NL",
            customer_tax_code="standard",
            product_tax_code="standard",
            name="VAT",
            rate_ppm=210_000,
        ),
        DiscountLimit(id=make_id(9_040), role="rep", discount_basis_points=1_000),
        PriceFloor(id=make_id(9_050), product_id=products[0].id, currency="EUR", unit_price=9_200),
        PriceEntry(
            id=make_id(9_060),
            price_list_id=world.company.price_lists[0].id,
            product_id=products[3].id,
            min_quantity=1,
            unit_price=210_000,
            per_quantity=6,
        ),
    ]


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    world = await World.found(sqlite_database)
    async with world.database.write() as session:
        for row in office_rows(world):
            await insert_rows(session, [row])
    return world


@pytest.fixture
async def device(world: World, tmp_path: Path) -> OrderClient:
    client = await world.enrolled_device("rep0", tmp_path / "device.db")
    await client.sync()
    return client


async def begin(device: OrderClient, world: World, *lines: tuple[int, int]) -> OrderDraft:
    draft = await device.draft_order(world.company.customers[0].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return draft


@contextmanager
def refused(kind: type[RoadbookError], *said: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert [each for each in said if each not in str(caught.value)] == [], str(caught.value)


async def test_a_discount_by_hand_is_kept_foretold_and_what_the_server_decides(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (1, 2))
    line = await draft.add_line(world.company.products[3].id, 5, manual=FIVE_PERCENT)
    assert (line.manual, line.amount_minor) == (ManualPrice(reason="a good customer", discount_basis_points=500), 1_900)
    foretold = await draft.preview()
    assert foretold.outcome is Outcome.ACCEPTED
    await draft.submit()
    (entry,) = (await device.sync()).verdicts
    assert entry.verdict.outcome is Outcome.ACCEPTED
    decided = (await device.order(draft.order_id)).lines[1]
    assert (decided.amount_minor, decided.discount_minor, decided.tax_minor) == (1_900, 100, 399)


async def test_a_price_by_hand_is_set_and_taken_back(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 5))
    (line,) = (await draft.view()).lines
    await draft.set_manual(line.line_id, ManualPrice(reason="so they asked", unit_price=8_000))
    (by_hand,) = (await draft.view()).lines
    assert (by_hand.unit_price, by_hand.amount_minor) == (8_000, 400)
    assert by_hand.explanation is not None
    assert by_hand.explanation.source is PriceSource.MANUAL
    foretold = await draft.preview()
    assert (foretold.outcome, foretold.codes) == (Outcome.HELD, (Code.MANUAL_PRICE_ABOVE_LIMIT, Code.BELOW_FLOOR))
    await draft.set_manual(line.line_id, None)
    assert [(each.unit_price, each.manual) for each in (await draft.view()).lines] == [(10_000, None)]


async def test_a_pack_has_its_own_price(device: OrderClient, world: World) -> None:
    draft = await begin(device, world)
    line = await draft.add_line(world.company.products[3].id, 12, pack_quantity=6)
    assert (line.unit_price, line.per_quantity, line.amount_minor) == (210_000, 6, 4_200)
    await draft.set_pack(line.line_id, 1)
    assert [(each.unit_price, each.per_quantity) for each in (await draft.view()).lines] == [(36_000, 1)]
    with refused(InvalidEntryError, "pack_quantity: 0"):
        await draft.set_pack(line.line_id, 0)


@pytest.mark.parametrize(
    ("manual", "said"),
    [
        (ManualPrice(reason="why"), "manual: give either"),
        (ManualPrice(reason="why", unit_price=1, discount_basis_points=1), "manual: give either"),
        (ManualPrice(reason="  ", unit_price=1), "manual.reason"),
        (ManualPrice(reason="why", discount_basis_points=10_001), "discount_basis_points"),
        (ManualPrice(reason="a\x00b", unit_price=1), "reason"),
    ],
)
async def test_a_price_by_hand_says_one_thing_and_why(device: OrderClient, world: World, manual: ManualPrice, said: str) -> None:
    draft = await begin(device, world, (0, 1))
    (line,) = (await draft.view()).lines
    before = await draft.view()
    for act in (draft.set_manual(line.line_id, manual), draft.add_line(line.product_id, 1, manual=manual)):
        with refused(ManualPriceError if "manual" in said else InvalidEntryError, said):
            await act
    assert await draft.view() == before


async def test_a_buyer_gives_no_price_by_hand(device: OrderClient, world: World) -> None:
    def become_buyer(connection: Any) -> None:
        identity = load(connection, Identity)
        assert identity is not None
        save(
            connection, type(identity)(**{**{name: getattr(identity, name) for name in identity.__struct_fields__}, "rep_id": None})
        )

    draft = await begin(device, world, (0, 1))
    (line,) = (await draft.view()).lines
    await device._store.write(become_buyer)
    with refused(NotPermittedError, "for reps alone"):
        await draft.set_manual(line.line_id, FIVE_PERCENT)
    with refused(NotPermittedError, "for reps alone"):
        await draft.add_line(line.product_id, 1, manual=FIVE_PERCENT)
    await draft.add_line(line.product_id, 1)


async def test_a_quantity_that_is_not_sold_is_refused_before_it_is_sent(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 1), (2, 7))
    for act in (draft.submit, draft.preview):
        with pytest.raises(QuantityNotSoldError, match=r"SKU-2 .* 7: .*: 6 or 12") as caught:
            await act()
        assert (caught.value.sku, caught.value.quantity, caught.value.nearest) == ("SKU-2", 7, (6, 12))
    assert await device.outbox() == []
    await draft.set_quantity((await draft.view()).lines[1].line_id, 12)
    await draft.submit()
    (entry,) = (await device.sync()).verdicts
    assert entry.verdict.codes in {(), (Code.BACKORDERED,)}


async def test_an_order_below_the_minimum_is_refused_with_what_is_missing(device: OrderClient, world: World) -> None:
    await world.change(PriceList, world.company.price_lists[0].id, order_minimum_minor=5_000)
    await device.sync()
    draft = await begin(device, world, (0, 5))
    with pytest.raises(OrderBelowMinimumError, match=r"below the minimum; add to it: 45\.00 EUR more") as caught:
        await draft.submit()
    assert (caught.value.missing_minor, caught.value.currency) == (4_500, "EUR")


async def test_no_price_says_why(device: OrderClient, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    entries = world.company.entries[0:2]
    await world.change(PriceEntry, entries[0].id, min_quantity=5)
    await device.sync()
    with refused(NoPriceError, "SKU-0", "larger quantities only; take more: 5"):
        await (await begin(device, world, (0, 2))).submit()
    with refused(NoPriceError, "SKU-0", "larger quantities only; take more: 5"):
        await says(capsys, price_command, device, customer="C0", sku="SKU-0", quantity=2, pack=None, explain=False)


async def test_an_order_is_amended_with_packs_and_by_hand(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 1))
    await draft.submit()
    await device.sync()
    products = world.company.products
    await device.amend_order(draft.order_id, [WantedLine(products[3].id, 6, 6, FIVE_PERCENT), (products[1].id, 1)])
    (entry,) = (await device.sync()).verdicts
    assert entry.verdict.outcome is Outcome.ACCEPTED
    assert [(line.per_quantity, line.amount_minor) for line in (await device.order(draft.order_id)).lines] == [(6, 1_995), (1, 200)]


async def test_a_draft_shows_what_it_comes_to_and_what_is_missing_to_more(
    device: OrderClient, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = await begin(device, world, (1, 6), (2, 7), (4, 8))
    line = await draft.add_line(world.company.products[0].id, 9, manual=ManualPrice(reason="asked", unit_price=8_000))
    assert line.explanation is not None
    view = await draft.view()
    assert view.price is not None
    products = {each.id: each for each in world.company.products}
    show_draft(Screen(as_json=False), view, "Customer 0", products)
    said = capsys.readouterr().out
    for wanted in (
        "Offer SPRING: 1.20 EUR off",
        "For nothing: 2 of SKU-5 Product 5, by BREW",
        "SKU-1: 4 more: 1.80 EUR each",
        "SKU-2: cannot be bought so: it is not sold in this quantity; take one in which it is: 6 or 12",
        "SKU-0: will be held: more is taken off by hand",
        "Offer BREW: given · 4 more reach it",
        "by hand: asked",
    ):
        assert wanted in said, said
    assert f"{view.price.tax_minor // 100}.{view.price.tax_minor % 100:02} EUR of it tax" in said


async def test_the_commands_take_packs_and_prices_by_hand_and_show_orders_with_all_of_them(
    device: OrderClient, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [TypedLine("SKU-3", 12, 6), TypedLine("SKU-0", 5, unit_price=9_500), TypedLine("SKU-4", 4)]
    given = {"customer": "C0", "lines": lines, "note": "", "po": "", "discount": 700, "reason": "as agreed"}
    said = await says(capsys, order, device, **given, preview=True)
    for wanted in (
        "21.00 EUR per 6",
        "in packs of 6 · by hand, 7 % off: as agreed",
        "by hand: as agreed",
        "For nothing: 1 of SKU-5",
    ):
        assert wanted in said, said
    assert await device.drafts() == []
    assert await device.outbox() == []
    taken = await says(capsys, order, device, **given, preview=False)
    assert "21.00 EUR per 6" in taken
    assert "for nothing" in taken
    await device.sync()
    shown = await says(capsys, orders, device, number="R1-000001", customer="", status=None, limit=20)
    for wanted in ("21.00 EUR per 6", "2.94 EUR", "by hand", "for nothing", "of it tax", "Off", "Tax"):
        assert wanted in shown, shown
    with refused(ManualPriceError, "manual.reason"):
        await says(capsys, order, device, **{**given, "reason": ""}, preview=False)
    assert "No drafts" in await says(capsys, drafts, device)
