"""Costs from files: taken as a whole, and each refused line is named."""

import asyncio

import pytest

from server.pricing.xlsx_writing import write_xlsx
from tests.support.computed_prices import compute, floors
from tests.support.office import problem
from tests.support.pricing import Body, PriceOffice

CSV = "sku,price,per_quantity\nSKU-0,1.25,\nSKU-1,7.5,6\n"


async def take(office: PriceOffice, body: bytes, **query: object) -> Body:
    response = await office.client.post("/pricing/product-costs/file", content=body, params={"currency": "EUR", **query})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_costs_are_taken_from_a_file_and_the_same_file_again_changes_nothing(office: PriceOffice) -> None:
    await office.post("margin-rules", minimum_margin_basis_points=0)
    assert await take(office, CSV.encode()) == {"made": 2, "changed": 0, "unchanged": 0}
    await compute(office.world)
    assert [each.unit_price for each in await floors(office.world)] == [12_500, 12_500]
    wanted = str(office.world.company.products[0].id)
    (before,) = (await office.get("product-costs", product_id=wanted))["items"]
    assert await take(office, CSV.encode()) == {"made": 0, "changed": 0, "unchanged": 2}
    assert (await compute(office.world)).floors is not None
    assert (await compute(office.world)).floors is None
    sheet = write_xlsx([("sku", "price"), ("SKU-0", "1.30"), ("SKU-2", "9")])
    assert await take(office, sheet, file_format="xlsx") == {"made": 1, "changed": 1, "unchanged": 0}
    assert await take(office, CSV.encode(), valid_from_ms=9) == {"made": 2, "changed": 0, "unchanged": 0}
    after = {each["id"]: each for each in (await office.get("product-costs"))["items"]}
    assert after[before["id"]] == {**before, "unit_cost": 13_000}
    assert len(after) == 5


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("SKU-9,1,1,,set", "sku"),
        ("SKU-1,x,1,,set", "price"),
        ("SKU-1,1,1,10,set", "min_quantity"),
        ("SKU-1,,1,,end", "action"),
        ("SKU-0,2,6,,set", "sku"),
        ("SKU-1,1,0,,set", "per_quantity"),
    ],
)
async def test_a_file_with_a_wrong_line_changes_nothing_and_names_it(office: PriceOffice, line: str, field: str) -> None:
    body = f"sku,price,per_quantity,min_quantity,action\nSKU-0,1,1,1,set\n{line}\n"
    response = await office.client.post("/pricing/product-costs/file?currency=EUR", content=body.encode())
    assert list(problem(response, 400, "unfit_cost_sheet")["fields"]) == [f"lines[3].{field}"]
    assert (await office.get("product-costs"))["items"] == []


@pytest.mark.parametrize("query", ["", "?currency=eur", "?currency=EUR&valid_from_ms=-1"])
async def test_a_file_needs_a_currency_and_an_instant_that_is_one(office: PriceOffice, query: str) -> None:
    response = await office.client.post(f"/pricing/product-costs/file{query}", content=CSV.encode())
    problem(response, 400, "invalid_request")
    problem(await office.client.post("/pricing/product-costs/file?currency=EUR", content=b"\xff"), 400, "price_sheet_unreadable")


async def test_a_file_and_single_costs_at_once_never_wait_for_each_other(office: PriceOffice) -> None:
    goods = office.world.company.products
    costs = [await office.post("product-costs", product_id=str(each.id), currency="EUR", unit_cost=1) for each in goods]
    for price in range(10):
        body = "sku,price\n" + "".join(f"{each.sku},{price}\n" for each in goods)
        answers = await asyncio.gather(
            office.client.post("/pricing/product-costs/file?currency=EUR", content=body.encode()),
            *(office.client.put(f"/pricing/product-costs/{each['id']}", json={**each, "unit_cost": price}) for each in costs),
        )
        assert [each.status_code for each in answers] == [200] * len(answers), "each waits for another, and one is given up"
