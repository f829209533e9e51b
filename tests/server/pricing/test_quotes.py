"""Quotes over HTTP: who may ask for what, and that the answer is that of the rules, with its reasons."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from server.identity.principals import Role
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.pricing import PriceEntry
from tests.support.office import PRICE, PRICE_MINOR, START_MS, Office, open_office, problem

DAY_MS = 86_400_000
BY_HAND = {"product_id": str(UUID(int=7)), "quantity": 1}


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        await opened.enrol()  # the rep works the territory from here on
        yield opened


async def ask(desk: Office, role: Role, **changed: Any) -> httpx2.Response:
    line = {"product_id": str(desk.product), "quantity": 2}
    body = {"customer_id": str(desk.customer), "lines": [line], **changed}
    return await desk.client.post("/quotes", headers=desk.as_(role), json=body)


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ADMIN, Role.REP, Role.BUYER])
async def test_who_sells_and_who_buys_is_quoted_the_same_price_with_its_reasons(desk: Office, role: Role) -> None:
    quoted = (await ask(desk, role)).json()
    (line,) = quoted["lines"]
    assert (line["unit_price"], line["amount_minor"], quoted["total_minor"]) == (PRICE, 2 * PRICE_MINOR, 2 * PRICE_MINOR)
    assert [(each["source"], each["fate"]) for each in line["candidates"]] == [("base", "won")]
    assert [each["fate"] for each in quoted["lists"]] == ["used"]


async def test_a_price_by_hand_of_a_rep_is_quoted_with_the_hold_that_it_will_meet(desk: Office) -> None:
    by_hand = {"product_id": str(desk.product), "quantity": 2, "manual": {"reason": "old friend", "discount_basis_points": 500}}
    (line,) = (await ask(desk, Role.REP, lines=[by_hand])).json()["lines"]
    assert line["holds"] == ["manual_price_above_limit"]
    assert line["amount_minor"] == 2 * PRICE_MINOR - PRICE_MINOR * 2 // 20


async def test_the_office_asks_for_another_time(desk: Office) -> None:
    later = PriceEntry(
        id=desk.ids.new(),
        price_list_id=desk.price_list,
        product_id=desk.product,
        min_quantity=1,
        unit_price=PRICE + 1,
        valid_from_ms=START_MS + DAY_MS,
    )
    async with desk.database.write() as session:
        await insert_rows(session, [later])
    prices = [
        (await ask(desk, Role.MANAGER, at_ms=at_ms)).json()["lines"][0]["unit_price"]
        for at_ms in (START_MS + DAY_MS - 1, START_MS + DAY_MS)
    ]
    assert prices == [PRICE, PRICE + 1]


@pytest.mark.parametrize(
    ("role", "changed", "field"),
    [
        (Role.REP, {"at_ms": START_MS}, "at_ms"),
        (Role.BUYER, {"at_ms": START_MS}, "at_ms"),
        (Role.REP, {"channel": "online"}, "channel"),
        (
            Role.BUYER,
            {"lines": [{"product_id": str(UUID(int=7)), "quantity": 1, "manual": {"reason": "", "unit_price": 1}}]},
            "lines[0].manual",
        ),
    ],
)
async def test_what_is_the_offices_to_ask_is_refused_to_others(
    desk: Office, role: Role, changed: dict[str, Any], field: str
) -> None:
    refused = problem(await ask(desk, role, **changed), 403, "quote_forbidden")
    assert list(refused["fields"]) == [field]


async def test_a_price_by_hand_has_a_reason(desk: Office) -> None:
    line = {"product_id": str(UUID(int=7)), "quantity": 1}
    lines = [line, line | {"manual": {"reason": " ", "unit_price": 1}}]
    refused = problem(await ask(desk, Role.MANAGER, lines=lines), 400, "unfit_quote")
    assert list(refused["fields"]) == ["lines[1].manual.reason"]


async def test_a_company_is_not_told_what_another_one_pays(desk: Office) -> None:
    for customer_id in (desk.stranger, UUID(int=9)):
        problem(await ask(desk, Role.BUYER, customer_id=str(customer_id)), 404, "quoted_customer_not_found")
    assert (await ask(desk, Role.REP, customer_id=str(desk.stranger))).status_code == 200


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"address_id": str(UUID(int=5))}, "address_id"), ({"customer_id": None}, "customer_id")],
)
async def test_what_cannot_be_priced_is_refused_by_its_field(desk: Office, changed: dict[str, Any], field: str) -> None:
    refused = problem(await ask(desk, Role.MANAGER, **changed), 400, "unfit_quote")
    assert list(refused["fields"]) == [field]


async def test_an_unknown_product_is_an_obstacle_and_no_error(desk: Office) -> None:
    quoted = (await ask(desk, Role.MANAGER, lines=[{"product_id": str(UUID(int=9)), "quantity": 1}])).json()
    assert quoted["lines"][0]["obstacle"] == "unknown_product"
    assert quoted["total_minor"] == 0
