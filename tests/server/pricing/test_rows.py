"""Every kind of rows of prices over HTTP: listed, opened, made, replaced, deleted, on both engines."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from server.changelog.log import read_head
from server.identity.principals import Role
from server.pricing.administered import KINDS
from server.runtime.database import Database
from sync_protocol.entities.pricing import AgreedPrice, PriceList
from sync_protocol.entities.promotions import Promotion
from tests.support.office import open_office, problem
from tests.support.pricing import PriceOffice

PATHS = [kind.path.removeprefix("/pricing/") for kind in KINDS if kind.is_written]
REFERRED_LAST = {"segments", "price-lists", "promotions"}


async def written(office: PriceOffice) -> dict[str, dict[str, Any]]:
    """A row of each kind, as it was answered."""
    rows = await office.rows_of_each_kind()
    other = await office.post("promotions", **rows.pop("another-promotion"))
    first = await office.post("promotions", **rows.pop("promotions"))
    return {path: await office.post(path, **row) for path, row in rows.items()} | {"promotions": first, "other": other}


async def head(office: PriceOffice) -> int:
    async with office.world.database.read() as session:
        return (await read_head(session)).head


async def test_a_row_of_each_kind_is_made_opened_listed_replaced_and_deleted(office: PriceOffice) -> None:
    rows = await written(office)
    assert rows.keys() - {"other"} == set(PATHS)
    for path in PATHS:
        made = rows[path]
        assert await office.get(f"{path}/{made['id']}") == made
        assert made in (await office.get(path))["items"]
        before = await head(office)
        assert await office.put(path, made["id"], made, 200) == made
        assert await head(office) == before, f"{path}: a row that stays as it is was told to devices"
    for path in sorted(PATHS, key=lambda each: (each in REFERRED_LAST, each)):
        await office.delete(path, rows[path]["id"])
        await office.refused("GET", f"{path}/{rows[path]['id']}", None, 404, "price_row_not_found")
        await office.refused("DELETE", f"{path}/{rows[path]['id']}", None, 404, "price_row_not_found")


async def test_a_row_reaches_the_log_when_it_is_made_replaced_and_deleted(office: PriceOffice) -> None:
    start = await head(office)
    made = await office.post("segments", code="GOLD", name="Gold")
    await office.put("segments", made["id"], {"code": "GOLD", "name": "Golden"}, 200)
    await office.delete("segments", made["id"])
    assert await head(office) == start + 3


async def test_a_put_makes_the_row_of_an_id_and_leaves_nothing_of_what_was_there(office: PriceOffice) -> None:
    row_id = office.new_id()
    made = await office.put("price-lists", row_id, {"code": "A", "name": "A", "currency": "EUR", "pack_quantity": 6})
    assert (made["id"], made["pack_quantity"], made["tax_treatment"]) == (row_id, 6, "exclusive")
    replaced = await office.put("price-lists", row_id, {"code": "A", "name": "A", "currency": "EUR"}, 200)
    assert replaced["pack_quantity"] is None
    assert len((await office.get("price-lists", code="A"))["items"]) == 1


async def test_a_post_again_is_answered_with_the_row_and_says_nothing_to_devices(office: PriceOffice) -> None:
    rows = await written(office)
    await office.world.change(Promotion, UUID(rows["promotions"]["id"]), spent_minor=700)
    rows["promotions"] = await office.get(f"promotions/{rows['promotions']['id']}")
    before = await head(office)
    for path in PATHS:
        body = rows[path] | ({"spent_minor": 0} if path == "promotions" else {})
        response = await office.client.post(f"/pricing/{path}", json=body)
        assert (response.status_code, response.json()) == (200, rows[path])
    assert await head(office) == before


async def test_a_post_with_the_id_of_another_row_is_refused_and_a_put_replaces_it(office: PriceOffice) -> None:
    made = await office.post("segments", code="GOLD", name="Gold")
    other = {"id": made["id"], "code": "GOLD", "name": "Golden"}
    told = await office.refused("POST", "segments", other, 409, "price_row_exists")
    assert f"PUT /pricing/segments/{made['id']}" in told["fields"]["id"]
    assert await office.get(f"segments/{made['id']}") == made
    assert await office.put("segments", made["id"], other, 200) == other


async def test_of_two_posts_of_one_id_at_once_one_row_comes_and_none_is_overwritten(office: PriceOffice) -> None:
    row_id = office.new_id()
    bodies = [{"id": row_id, "code": f"S{place}", "name": "S"} for place in range(4)]
    answers = await asyncio.gather(*(office.client.post("/pricing/segments", json=body) for body in bodies))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    assert await office.get(f"segments/{row_id}") == next(each.json() for each in answers if each.status_code == 201)


async def test_texts_are_kept_in_one_spelling(office: PriceOffice) -> None:
    made = await office.post("segments", code="  Cafe\u0301 ", name="Cafe\u0301")
    assert (made["code"], made["name"]) == ("Caf\u00e9", "Caf\u00e9")
    assert [each["id"] for each in (await office.get("segments", code="Cafe\u0301"))["items"]] == [made["id"]]


async def test_pages_join_without_gap_or_overlap(office: PriceOffice) -> None:
    made = [(await office.post("segments", code=f"S{n}", name="S"))["id"] for n in range(5)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await office.get("segments", limit=2, **after)
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == sorted(made)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_list_is_narrowed_by_each_key_column(office: PriceOffice, kind: Any) -> None:
    path = kind.path.removeprefix("/pricing/")
    await written(office)
    everything = (await office.get(path))["items"]
    assert kind.filters
    for name in kind.filters:
        for value in {each[name] for each in everything if each[name] is not None}:
            found = (await office.get(path, **{name: value}))["items"]
            assert found == [each for each in everything if each[name] == value]


async def test_what_is_referred_to_stays_and_says_who_refers_to_it(office: PriceOffice) -> None:
    rows = await written(office)
    segment = rows["segments"]["id"]
    told = await office.refused("DELETE", f"segments/{segment}", None, 409, "referred_to")
    assert told["fields"].keys() == {"segment_member", "price_list_assignment", "promotion_audience"}
    assert rows["segment-members"]["id"] in told["fields"]["segment_member"]
    assert (await office.get(f"segments/{segment}"))["code"] == "GOLD"
    lists = await office.refused("DELETE", f"price-lists/{office.world.company.price_lists[0].id}", None, 409, "referred_to")
    assert lists["fields"]["price_entry"].startswith("refers to it: 12 of it, such as ")
    assert "territory" in lists["fields"]


async def test_a_list_with_a_record_of_its_changes_says_what_to_do_instead_of_deleting_it(office: PriceOffice) -> None:
    spare = await office.post("price-lists", code="SPARE", name="Spare", currency="EUR")
    await office.post("revisions", price_list_id=spare["id"])
    told = await office.refused("DELETE", f"price-lists/{spare['id']}", None, 409, "referred_to")
    assert told["fields"].keys() == {"price_revision"}
    assert "valid_until_ms" in told["fields"]["price_revision"]
    assert "valid_until_ms" in told["detail"]


async def test_a_row_that_another_begins_to_refer_to_meanwhile_is_not_deleted(office: PriceOffice) -> None:
    customer = str(office.world.company.customers[0].id)
    for place in range(8):
        segment = await office.post("segments", code=f"S{place}", name="S")
        answers = await asyncio.gather(
            office.client.post("/pricing/segment-members", json={"customer_id": customer, "segment_id": segment["id"]}),
            office.client.delete(f"/pricing/segments/{segment['id']}"),
        )
        assert sorted(each.status_code for each in answers) in ([201, 409], [204, 400]), [each.text for each in answers]


async def test_a_code_that_is_taken_is_refused_and_names_its_row(office: PriceOffice) -> None:
    made = await office.post("segments", code="GOLD", name="Gold")
    told = await office.refused("POST", "segments", {"code": " GOLD", "name": "Other"}, 409, "value_taken")
    assert made["id"] in told["fields"]["code"]
    answers = await asyncio.gather(
        *(office.client.post("/pricing/segments", json={"code": "NEW", "name": str(each)}) for each in range(4))
    )
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]


async def test_what_orders_count_is_not_set_back_by_a_form_that_was_opened_before(office: PriceOffice) -> None:
    made = (await written(office))["promotions"]
    await office.world.change(Promotion, UUID(made["id"]), spent_minor=700)
    assert (await office.put("promotions", made["id"], made, 200))["spent_minor"] == 700


async def test_no_less_than_nothing_is_agreed_on_but_what_was_honoured_beyond_it_stays(office: PriceOffice) -> None:
    made = (await written(office))["agreed-prices"]
    below = {**made, "remaining_quantity": -1}
    assert (await office.unfit("agreed-prices", {**below, "id": None}))["remaining_quantity"].startswith("is below 0")
    await office.world.change(AgreedPrice, UUID(made["id"]), remaining_quantity=-1)
    assert (await office.put("agreed-prices", made["id"], {**below, "reference": "K-2"}, 200))["remaining_quantity"] == -1


async def test_what_orders_took_of_an_agreement_survives_a_form_that_was_opened_before(office: PriceOffice) -> None:
    made = (await written(office))["agreed-prices"]
    await office.world.change(AgreedPrice, UUID(made["id"]), remaining_quantity=10)
    path = f"agreed-prices/{made['id']}"
    dearer = {**made, "unit_price": 10_0000}
    for left in (40, 60, None):
        for seen in ({}, {"seen_remaining_quantity": 40}):
            told = await office.refused("PUT", path, {**dearer, "remaining_quantity": left, **seen}, 409, "remaining_overtaken")
            assert told["fields"].keys() == {"remaining_quantity"}
            assert "seen_remaining_quantity" in told["fields"]["remaining_quantity"]
    assert (await office.get(path))["remaining_quantity"] == 10
    kept = await office.put("agreed-prices", made["id"], {**dearer, "remaining_quantity": 10}, 200)
    assert (kept["unit_price"], kept["remaining_quantity"]) == (10_0000, 10)


async def test_the_office_changes_what_is_left_of_an_agreement_where_it_says_what_it_saw(office: PriceOffice) -> None:
    made = (await written(office))["agreed-prices"]
    for left in (60, None, 70):
        body = {**made, "remaining_quantity": left, "seen_remaining_quantity": made["remaining_quantity"]}
        for _again in range(2):
            changed = await office.put("agreed-prices", made["id"], body, 200)
            assert changed == {**made, "remaining_quantity": left}
        made = changed


async def test_what_has_no_limit_is_given_one_without_a_word_of_what_was_seen(office: PriceOffice) -> None:
    body = (await office.rows_of_each_kind())["agreed-prices"] | {"remaining_quantity": None}
    made = await office.post("agreed-prices", **body)
    assert (await office.put("agreed-prices", made["id"], {**made, "remaining_quantity": 5}, 200))["remaining_quantity"] == 5


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_field_and_a_value_beyond_its_limits_are_named(office: PriceOffice, path: str) -> None:
    rows = await office.rows_of_each_kind()
    told = await office.refused("POST", path, {**rows[path], "prise": 1}, 400, "invalid_request")
    assert told["fields"] == {"prise": "is not known here; remove it"}
    for field, value in rows[path].items():
        if field != "id" and not field.endswith("_id"):
            wrong: Any = -1 if isinstance(value, int) else "\x00" if isinstance(value, str) else None
            wrong = {"order_minimum_minor": 10**15 + 1, "remaining_quantity": 10**12 + 1}.get(field, wrong)
            told = await office.refused("POST", path, {**rows[path], field: wrong}, 400, "invalid_request")
            assert told["fields"].keys() == {field}


@pytest.mark.parametrize(("path", "method"), [("price-entries", "POST"), ("promotion-uses", "POST"), ("segments", "PATCH")])
async def test_what_the_office_only_looks_at_takes_no_other_method(office: PriceOffice, path: str, method: str) -> None:
    await office.refused(method, path, {}, 405, "method_not_allowed")
    assert "items" in await office.get(path)


@pytest.mark.parametrize("role", [role for role in Role if role not in {Role.MANAGER, Role.ADMIN}])
async def test_prices_are_for_the_office_alone(database: Database, role: Role) -> None:
    async with open_office(database) as opened:
        for method, path in (("GET", "/pricing/price-floors"), ("PUT", f"/pricing/segments/{opened.ids.new()}")):
            response = await opened.client.request(method, path, headers=opened.as_(role), json={"code": "X", "name": "X"})
            problem(response, 403, "role_forbids")
        response = await opened.client.patch(f"/customers/{opened.customer}", headers=opened.as_(role), json={"tax_code": "x"})
        problem(response, 403, "role_forbids")


async def test_a_tax_code_is_set_of_a_customer_and_a_product(office: PriceOffice) -> None:
    company = office.world.company
    for path, row in (("customers", company.customers[0]), ("products", company.products[0])):
        changed = await office.client.patch(f"/{path}/{row.id}", json={"tax_code": " reduced "})
        assert (changed.status_code, changed.json()["tax_code"]) == (200, "reduced")
        assert (await office.world.fetch(type(row), row.id)).tax_code == "reduced"
        blank = await office.client.patch(f"/{path}/{row.id}", json={"tax_code": "  "})
        assert problem(blank, 400, "unfit_price_row")["fields"].keys() == {"tax_code"}
        unknown = await office.client.patch(f"/{path}/{office.new_id()}", json={"tax_code": "reduced"})
        problem(unknown, 404, "price_row_not_found")


async def test_a_list_with_prices_keeps_its_currency(office: PriceOffice) -> None:
    price_list = office.world.company.price_lists[0]
    body = {"code": "PL0", "name": "List 0", "currency": "USD"}
    told = await office.refused("PUT", f"price-lists/{price_list.id}", body, 400, "unfit_price_row")
    assert told["fields"].keys() == {"currency"}
    assert (await office.world.fetch(PriceList, price_list.id)).currency == "EUR"
    empty = await office.post("price-lists", code="E", name="Empty", currency="EUR")
    await office.put("price-lists", empty["id"], {"code": "E", "name": "Empty", "currency": "USD"}, 200)


async def test_the_triggers_see_what_the_office_writes(office: PriceOffice) -> None:
    made = await office.post("price-floors", product_id=str(office.world.company.products[0].id), currency="EUR", unit_price=5)
    query = sa.text("SELECT count(*) FROM change_log WHERE bucket = 'limits' AND deleted = 0")
    async with office.world.database.read() as session:
        assert (await session.execute(query)).scalar_one() == 1
    await office.delete("price-floors", made["id"])
    async with office.world.database.read() as session:
        assert (await session.execute(query)).scalar_one() == 0
