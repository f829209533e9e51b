"""Drafts of price lists: filled by hand and by file, looked at before they are published, and given out as files."""

from typing import Any
from uuid import UUID

import pytest

from server.pricing import price_files, revision_entries
from server.pricing.revision_routes import FILE_BYTES_MAX
from server.pricing.xlsx_reading import read_xlsx
from sync_protocol.entities.customers import Customer, CustomerStatus, SegmentMember
from sync_protocol.entities.pricing import PriceListAssignment
from sync_protocol.values import Row
from tests.support.office import problem
from tests.support.price_timelines import publish_at, scalar
from tests.support.pricing import Body, PriceOffice

DAY = 86_400_000
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def new_draft(office: PriceOffice, place: int = 0, note: str = "") -> str:
    price_list = office.world.company.price_lists[place]
    return str((await office.post("revisions", price_list_id=str(price_list.id), note=note))["revision"]["id"])


async def fill(office: PriceOffice, draft: str, body: bytes, **query: str) -> Any:
    return await office.client.post(f"/pricing/revisions/{draft}/file", params=query, content=body)


async def filled(office: PriceOffice, draft: str, body: bytes, **query: str) -> Body:
    response = await fill(office, draft, body, **query)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def file_of(office: PriceOffice, path: str, **query: Any) -> bytes:
    response = await office.client.get(f"/pricing/{path}/file", params=query)
    assert response.status_code == 200, response.text
    return bytes(response.content)


def csv_of(*lines: str) -> bytes:
    return "\r\n".join(("sku,min_quantity,per_quantity,price,action", *lines, "")).encode()


async def test_prices_are_set_ended_and_left_alone_again(office: PriceOffice) -> None:
    draft = await new_draft(office)
    first, second = (str(product.id) for product in office.world.company.products[:2])
    await office.post(
        f"revisions/{draft}/entries",
        set=[
            {"product_id": first, "unit_price": 5},
            {"product_id": second, "unit_price": 6, "min_quantity": 3, "per_quantity": 12},
        ],
        end=[{"product_id": first, "min_quantity": 10}],
    )
    items = (await office.get(f"revisions/{draft}/entries"))["items"]
    assert sorted((each["sku"], each["min_quantity"], each["action"], each["unit_price"]) for each in items) == [
        ("SKU-0", 1, "set", 5),
        ("SKU-0", 10, "end", None),
        ("SKU-1", 3, "set", 6),
    ]
    await office.post(f"revisions/{draft}/entries", set=[{"product_id": first, "unit_price": 7}])
    detail = await office.post(f"revisions/{draft}/entries", leave=[{"product_id": first, "min_quantity": 10}])
    assert (detail["revision"]["sets"], detail["revision"]["ends"]) == (2, 0)
    assert {each["unit_price"] for each in (await office.get(f"revisions/{draft}/entries"))["items"]} == {6, 7}


async def test_what_makes_no_sense_of_a_draft_is_named_and_nothing_is_entered(office: PriceOffice) -> None:
    draft = await new_draft(office)
    product = str(office.world.company.products[0].id)
    one = {"product_id": product, "unit_price": 5}
    body = {"set": [one, one, {"product_id": office.new_id(), "unit_price": 5}], "end": [{"product_id": product}]}
    told = await office.refused("POST", f"revisions/{draft}/entries", body, 400, "unfit_revision")
    assert told["fields"].keys() == {"set[1]", "set[2].product_id", "end[0]"}
    assert (await office.get(f"revisions/{draft}/entries"))["items"] == []
    told = await office.refused("POST", f"revisions/{draft}/entries", {"set": [{**one, "unit_price": -1}]}, 400, "invalid_request")
    assert told["fields"].keys() == {"set[0].unit_price"}
    told = await office.refused("POST", "revisions", {"price_list_id": office.new_id()}, 400, "unfit_revision")
    assert told["fields"].keys() == {"price_list_id"}


async def test_entries_and_revisions_come_in_pages(office: PriceOffice) -> None:
    draft = await new_draft(office)
    products = [str(product.id) for product in office.world.company.products]
    await office.post(f"revisions/{draft}/entries", set=[{"product_id": each, "unit_price": 5} for each in products])
    seen: list[str] = []
    after: Body = {}
    while len(seen) < 20:
        page = await office.get(f"revisions/{draft}/entries", limit=4, **after)
        seen += [each["product_id"] for each in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted(seen) == sorted(products)
    office.world.clock.advance(1)
    other = await new_draft(office, place=1)
    assert [each["id"] for each in (await office.get("revisions"))["items"]] == [other, draft]
    assert [each["id"] for each in (await office.get("revisions", limit=1, before=other))["items"]] == [draft]
    await office.post(f"revisions/{other}/discard")
    assert [each["id"] for each in (await office.get("revisions", status="draft"))["items"]] == [draft]
    by_list = await office.get("revisions", price_list_id=str(office.world.company.price_lists[1].id))
    assert [each["price_list_code"] for each in by_list["items"]] == ["PL1"]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_list_that_goes_out_and_comes_back_changes_nothing_and_goes_out_the_same(office: PriceOffice, form: str) -> None:
    price_list = office.world.company.price_lists[0]
    path = f"price-lists/{price_list.id}"
    out = await file_of(office, path, file_format=form)
    draft = await new_draft(office)
    assert await filled(office, draft, out, file_format=form) == {"sets": 12, "ends": 0, "refused": 0, "refusals": []}
    before = await scalar(office.world, "SELECT head FROM change_head")
    await office.post(f"revisions/{draft}/publish")
    assert await scalar(office.world, "SELECT head FROM change_head") == before
    again = await file_of(office, path, file_format=form)
    assert again == out if form == "csv" else list(read_xlsx(again)) == list(read_xlsx(out))


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_revision_that_goes_out_and_comes_back_is_the_same(office: PriceOffice, form: str) -> None:
    first, second = await new_draft(office), await new_draft(office)
    await filled(office, first, csv_of("SKU-0,1,1,5.50,", "SKU-1,10,6,0.0001,set", "SKU-2,1,1,,end"))
    out = await file_of(office, f"revisions/{first}", file_format=form)
    assert await filled(office, second, out, file_format=form) == {"sets": 2, "ends": 1, "refused": 0, "refusals": []}
    again = await file_of(office, f"revisions/{second}", file_format=form)
    assert again == out if form == "csv" else list(read_xlsx(again)) == list(read_xlsx(out))


async def test_a_list_is_given_out_as_it_is_at_an_instant(office: PriceOffice) -> None:
    price_list = office.world.company.price_lists[0]
    draft = await new_draft(office)
    at_ms = office.world.clock.now_ms() + DAY
    await filled(office, draft, csv_of("SKU-0,1,1,5.50,", "SKU-0,10,1,,end"))
    await publish_at(office.world, UUID(draft), at_ms)
    today = (await file_of(office, f"price-lists/{price_list.id}")).decode().splitlines()
    then = (await file_of(office, f"price-lists/{price_list.id}", at_ms=at_ms)).decode().splitlines()
    assert today[:3] == ["sku,min_quantity,per_quantity,price,name", "SKU-0,1,1,1.00,Product 0", "SKU-0,10,1,0.90,Product 0"]
    assert then[:3] == [today[0], "SKU-0,1,1,5.50,Product 0", "SKU-1,1,1,2.00,Product 1"]
    assert today[3:] == then[2:]
    response = await office.client.get(f"/pricing/price-lists/{price_list.id}/file", params={"file_format": "xlsx"})
    assert response.headers["content-type"] == XLSX
    assert response.headers["content-disposition"] == 'attachment; filename="PL0.xlsx"'
    await office.refused("GET", f"price-lists/{office.new_id()}/file", None, 404, "price_row_not_found")
    await office.refused("GET", f"revisions/{office.new_id()}/file", None, 404, "revision_not_found")
    await office.refused("GET", f"price-lists/{price_list.id}/file?at_ms=-1", None, 400, "invalid_request")


async def test_a_file_with_refused_lines_is_taken_as_a_whole_or_not_at_all_or_in_part(office: PriceOffice) -> None:
    draft = await new_draft(office)
    body = csv_of("SKU-0,1,1,5.50,", "NOPE,1,1,5,", 'SKU-1,1,1,"5,5",', "SKU-2,1,1,7,")
    dear = csv_of("SKU-0,1,1,1000000000,", "SKU-1,1,1,1000000000.01,")
    assert problem(await fill(office, draft, dear), 400, "unfit_price_sheet")["fields"] == {
        "lines[3].price": "'1000000000.01' is above 1000000000; correct it"
    }
    told = problem(await fill(office, draft, body), 400, "unfit_price_sheet")
    assert told["fields"] == {
        "lines[3].sku": "'NOPE' is the SKU of no product; correct it, or make the product first",
        "lines[4].price": "'5,5' is no price such as 12.50: digits, and after a point at most four; correct it",
    }
    assert told["detail"].startswith("2 lines are refused and nothing was taken: lines[3].sku 'NOPE' ")
    assert (await office.get(f"revisions/{draft}/entries"))["items"] == []
    taken = await filled(office, draft, body, on_refusal="take_rest")
    assert (taken["sets"], taken["refused"]) == (2, 2)
    assert [(each["line"], each["field"], each["value"]) for each in taken["refusals"]] == [(3, "sku", "NOPE"), (4, "price", "5,5")]
    events = (await office.get(f"revisions/{draft}"))["events"]
    assert [(each["act"], each["note"], each["entries"]) for each in events] == [
        ("created", "", None),
        ("filled", "a file of csv", 2),
    ]


async def test_each_refused_line_is_named_up_to_a_limit(office: PriceOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision_entries, "REFUSALS_SHOWN_MAX", 3)
    draft = await new_draft(office)
    body = csv_of(*(f"X{n},1,1,5," for n in range(9)))
    told = problem(await fill(office, draft, body), 400, "unfit_price_sheet")
    assert len(told["fields"]) == 3
    assert told["detail"].startswith("9 lines are")
    assert len((await filled(office, draft, body, on_refusal="take_rest"))["refusals"]) == 3


async def test_rubbish_is_refused_and_a_file_that_is_too_large_is_not_read(office: PriceOffice) -> None:
    draft = await new_draft(office)
    for body, form in ((b"", "csv"), (b"PK\x03\x04", "xlsx"), (b"\xff\xfe", "csv"), (csv_of(), "xlsx")):
        told = problem(await fill(office, draft, body, file_format=form), 400, "price_sheet_unreadable")
        assert told["fields"].keys() == {"file"}
    problem(await fill(office, draft, b" " * (FILE_BYTES_MAX + 1)), 413, "too_large")
    problem(await fill(office, draft, csv_of(), file_format="ods"), 400, "invalid_request")
    problem(await fill(office, office.new_id(), csv_of("SKU-0,1,1,5,")), 404, "revision_not_found")
    await office.post(f"revisions/{draft}/discard")
    problem(await fill(office, draft, csv_of("SKU-0,1,1,5,")), 409, "revision_not_draft")


async def test_files_of_many_lines_are_made_and_read_beside_the_loop(office: PriceOffice) -> None:
    assert price_files._working.total_tokens == 1
    draft = await new_draft(office)
    lines = [f"SKU-{n % 6},{n // 6 + 1},1,{n}.25," for n in range(9_000)]
    assert (await filled(office, draft, csv_of(*lines)))["sets"] == 9_000
    assert len((await file_of(office, f"revisions/{draft}")).splitlines()) == 9_001


async def preview(office: PriceOffice, draft: str, **query: Any) -> Body:
    return await office.get(f"revisions/{draft}/preview", **query)


async def test_a_preview_says_what_publication_does(office: PriceOffice) -> None:
    draft = await new_draft(office)
    lines = (
        "SKU-0,1,1,1.50,",
        "SKU-1,1,1,1.00,",
        "SKU-2,1,1,3.00,",
        "SKU-3,5,1,9,",
        "SKU-4,1,1,,end",
        "SKU-4,10,1,,end",
        "SKU-5,10,1,,end",
    )
    await filled(office, draft, csv_of(*lines))
    at_ms = office.world.clock.now_ms() + DAY
    seen = await preview(office, draft, effective_at_ms=at_ms)
    assert seen["outcomes"] == {"added": 1, "changed": 2, "ended": 3, "unchanged": 1}
    assert seen["products"] == 5
    assert [
        (each["sku"], each["old_unit_price"], each["new_unit_price"], each["change_basis_points"]) for each in seen["rises"]
    ] == [("SKU-0", 1_0000, 1_5000, 5_000)]
    assert [(each["sku"], each["change_basis_points"]) for each in seen["falls"]] == [("SKU-1", -5_000)]
    assert (seen["losing_products"], [(each["sku"], each["is_elsewhere"]) for each in seen["first_losing"]]) == (
        1,
        [("SKU-4", True)],
    )
    assert await scalar(office.world, "SELECT count(*) FROM price_entry WHERE valid_until_ms IS NOT NULL") == 0, "it only looks"
    await office.post(f"revisions/{draft}/publish", effective_at_ms=at_ms)
    kept = [each["outcome"] for each in (await office.get(f"revisions/{draft}/entries"))["items"]]
    assert {outcome: kept.count(outcome) for outcome in kept} == seen["outcomes"]
    await office.refused("GET", f"revisions/{draft}/preview?effective_at_ms=1", None, 400, "unfit_revision")


async def test_a_preview_ranks_rises_and_falls_by_their_share(office: PriceOffice) -> None:
    draft = await new_draft(office)
    await filled(
        office, draft, csv_of("SKU-0,1,1,1.10,", "SKU-1,1,1,3.00,", "SKU-2,1,1,3.03,", "SKU-3,1,1,3.96,", "SKU-4,1,1,1.00,")
    )
    seen = await preview(office, draft)
    assert [each["sku"] for each in seen["rises"]] == ["SKU-1", "SKU-0", "SKU-2"]
    assert [each["sku"] for each in seen["falls"]] == ["SKU-4", "SKU-3"]


async def add(office: PriceOffice, *rows: Row) -> None:
    for row in rows:
        body = {name: getattr(row, name) for name in row.__struct_fields__}
        path = {"SegmentMember": "segment-members", "PriceListAssignment": "price-list-assignments"}[type(row).__name__]
        await office.post(path, **{name: str(value) if isinstance(value, UUID) else value for name, value in body.items()})


async def test_a_preview_counts_who_has_a_claim_then_and_their_open_orders(office: PriceOffice, tmp_path: Any) -> None:
    world = office.world
    company = world.company
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        for customer, product in ((0, 0), (0, 0), (1, 3)):
            order = await device.draft_order(company.customers[customer].id)
            await order.add_line(company.products[product].id, 1)
            await order.submit()
        await device.sync()
    draft = await new_draft(office)
    await filled(office, draft, csv_of("SKU-0,1,1,5,", "SKU-3,1,1,4.00,"))
    seen = await preview(office, draft)
    assert (seen["customers"], [each["code"] for each in seen["first_customers"]]) == (2, ["C0", "C1"])
    assert seen["open_orders"] == 2, "of SKU-3 the price stays"
    await world.change(Customer, company.customers[1].id, status=CustomerStatus.CLOSED)
    assert (await preview(office, draft))["customers"] == 1
    segment = await office.post("segments", code="GOLD", name="Gold")
    now_ms = world.clock.now_ms()
    member = SegmentMember(
        id=world.ids.new(), customer_id=company.customers[2].id, segment_id=UUID(segment["id"]), valid_from_ms=now_ms + DAY
    )
    assigned = PriceListAssignment(
        id=world.ids.new(), price_list_id=company.price_lists[0].id, priority=1, exclusivity="shared", segment_id=member.segment_id
    )
    await add(office, member, assigned)
    assert (await preview(office, draft))["customers"] == 1, "not a member yet"
    assert [each["code"] for each in (await preview(office, draft, effective_at_ms=now_ms + DAY))["first_customers"]] == [
        "C0",
        "C2",
    ]
    there = PriceListAssignment(
        id=world.ids.new(),
        price_list_id=company.price_lists[0].id,
        priority=1,
        exclusivity="shared",
        channel="online",
        territory_id=company.territories[1].id,
    )
    await add(office, there)
    assert [each["code"] for each in (await preview(office, draft))["first_customers"]] == ["C0", "C2", "C3"]
