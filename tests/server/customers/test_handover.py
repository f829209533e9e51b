"""Handover as a manager plans it: what it previews, what it refuses, when it is done, and who has acknowledged it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from server.customers.handover_execution import do_due_handovers, execute
from server.customers.models import RepTerritoryModel
from server.runtime.slices import JobContext
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.wire.messages import DeviceReport, PurgeReceipt
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.faults import UnreportedEndpoint
from tests.support.office import problem
from tests.support.world import World

HOUR_MS = 3_600_000


def at(world: World, hours: float) -> str:
    """An instant so many hours from now, as an API takes it."""
    return (datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC) + timedelta(hours=hours)).isoformat()


def ids(world: World, *customers: int) -> list[str]:
    return [str(world.company.customers[each].id) for each in customers]


def territory(world: World, place: int) -> str:
    return str(world.company.territories[place].id)


def rep(world: World, place: int) -> str:
    return str(world.company.reps[place].id)


async def post(manager: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    response = await manager.post(path, json=body)
    assert response.status_code in {200, 201}, response.text
    return dict(response.json())


async def opened(manager: httpx2.AsyncClient, handover_id: str) -> dict[str, Any]:
    response = await manager.get(f"/handovers/{handover_id}")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def order(device: OrderClient, world: World, customer: int, quantity: int = 1) -> str:
    draft = await device.draft_order(world.company.customers[customer].id)
    await draft.add_line(world.company.products[0].id, quantity)
    return (await draft.submit()).order.number


async def due(world: World) -> None:
    await do_due_handovers(JobContext(database=world.database, clock=world.clock, retention_days=90))


async def territory_of(world: World, customer: int) -> int:
    stored = await world.fetch(Customer, world.company.customers[customer].id)
    return [each.id for each in world.company.territories].index(stored.territory_id)


async def scalars(world: World, sql: str, **values: object) -> list[Any]:
    async with world.database.read() as session:
        return [tuple(row) for row in await session.execute(sa.text(sql), values)]


async def test_a_preview_counts_what_plain_sql_counts(world: World, manager: httpx2.AsyncClient, tmp_path: Path) -> None:
    company = world.company
    await world.change(Customer, company.customers[1].id, status=CustomerStatus.ON_HOLD)
    async with (
        await world.enrolled_device("rep0", tmp_path / "old.db", wrap=UnreportedEndpoint) as old,
        await world.enrolled_device("rep1", tmp_path / "new.db") as new,
    ):
        await old.sync()
        await new.sync()
        for customer, quantity in ((0, 3), (0, 2), (1, 4), (1, 12)):
            await order(old, world, customer, quantity)
        cancelled = await order(old, world, 0)
        await order(new, world, 2, 7)
        await old.sync()
        await new.sync()
        await old.cancel_order((await old.order(cancelled)).order.id)
        await old.sync()
        seen = await post(manager, "/handovers/preview", territory_id=territory(world, 0), to_territory_id=territory(world, 1))
    plain = await scalars(
        world,
        "SELECT o.status, count(*), sum(o.total_minor) FROM sales_order o JOIN customer c ON c.id = o.customer_id "
        "JOIN territory t ON t.id = c.territory_id WHERE t.code = 'T0' GROUP BY o.status ORDER BY o.status",
    )
    assert [(status, count, int(total)) for status, count, total in plain] == [
        ("cancelled", 1, 100),
        ("confirmed", 2, 500),
        ("held", 2, 400 + 1_080),
    ]
    assert seen["customers"] == 2
    assert seen["open_orders"] == {"orders": 2, "total_minor": {"EUR": 500}}
    assert seen["held_orders"] == {"orders": 2, "total_minor": {"EUR": 1_480}}
    assert seen["pending"] == {"orders": 4, "total_minor": {"EUR": 1_980}}
    assert [(each["user_login"], each["loses"], each["gains"]) for each in seen["devices"]] == [("rep0", 2, 0), ("rep1", 0, 2)]
    assert (seen["intents_reported"], seen["devices_silent"]) == (0, 1)
    one = await post(manager, "/handovers/preview", customer_ids=ids(world, 1), to_territory_id=territory(world, 1))
    assert (one["customers"], one["open_orders"]["orders"], one["held_orders"]["orders"]) == (1, 0, 2)


async def test_a_preview_says_what_waited_on_devices_when_they_reported(
    world: World, manager: httpx2.AsyncClient, tmp_path: Path
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        await report(world, old, cursor=1, outbox_count=3, oldest_unsent_ms=world.clock.now_ms() - HOUR_MS)
    seen = await post(manager, "/handovers/preview", territory_id=territory(world, 0), to_rep_id=rep(world, 1))
    assert (seen["intents_reported"], seen["devices_silent"]) == (3, 0)
    assert seen["devices"][0]["oldest_unsent_at"] is not None
    assert seen["devices"][0]["last_seen_at"] == seen["devices"][0]["reported_at"], "who reports was here"


async def test_a_rep_who_works_both_territories_loses_nothing(world: World, manager: httpx2.AsyncClient, tmp_path: Path) -> None:
    async with world.database.write() as session:
        session.add(RepTerritoryModel(rep_id=world.company.reps[0].id, territory_id=world.company.territories[1].id))
    async with await world.enrolled_device("rep0", tmp_path / "old.db"):
        body = {"customer_ids": ids(world, 0), "to_territory_id": territory(world, 1)}
        seen = await post(manager, "/handovers/preview", **body)
        assert [each["loses"] for each in seen["devices"]] == []
        done = await post(manager, "/handovers", **body, late_orders="route")
    assert (done["handover"]["state"], done["devices"]) == ("done", [])


@pytest.mark.parametrize("kind", ["customers", "territory", "rep"])
async def test_a_handover_for_now_is_done_when_it_is_answered(world: World, manager: httpx2.AsyncClient, kind: str) -> None:
    what = {
        "customers": {"customer_ids": ids(world, 0), "to_territory_id": territory(world, 1)},
        "territory": {"territory_id": territory(world, 0), "to_territory_id": territory(world, 1)},
        "rep": {"territory_id": territory(world, 0), "to_rep_id": rep(world, 1)},
    }[kind]
    done = (await post(manager, "/handovers", **what, late_orders="route", note="  Femke left "))["handover"]
    assert (done["kind"], done["state"], done["note"], done["customers"]) == (
        kind,
        "done",
        "Femke left",
        1 if kind == "customers" else 2,
    )
    assert done["commit_seq"] > 0
    moved = [await territory_of(world, customer) for customer in range(4)]
    assert moved == {"customers": [1, 0, 1, 1], "territory": [1, 1, 1, 1], "rep": [0, 0, 1, 1]}[kind]
    works = await scalars(
        world,
        "SELECT r.code, t.code FROM rep_territory rt JOIN rep r ON r.id = rt.rep_id "
        "JOIN territory t ON t.id = rt.territory_id ORDER BY 1, 2",
    )
    assert works == ([("REP1", "T0"), ("REP1", "T1")] if kind == "rep" else [("REP0", "T0"), ("REP1", "T1")])
    (listed,) = (await manager.get("/handovers?status=done")).json()["items"]
    assert listed == done


async def test_a_dated_handover_waits_for_its_time(world: World, manager: httpx2.AsyncClient) -> None:
    planned = await post(
        manager,
        "/handovers",
        territory_id=territory(world, 0),
        to_territory_id=territory(world, 1),
        late_orders="refuse",
        effective_at=at(world, 2),
    )
    assert (planned["handover"]["state"], planned["handover"]["customers"]) == ("planned", 2)
    await due(world)
    assert await territory_of(world, 0) == 0
    world.clock.advance(2 * HOUR_MS)
    await due(world)
    assert [await territory_of(world, customer) for customer in range(2)] == [1, 1]
    assert (await opened(manager, planned["handover"]["id"]))["handover"]["state"] == "done"


async def test_two_processes_that_do_a_handover_at_once_do_it_once(world: World, manager: httpx2.AsyncClient) -> None:
    planned = await post(
        manager,
        "/handovers",
        territory_id=territory(world, 0),
        to_rep_id=rep(world, 1),
        late_orders="route",
        effective_at=at(world, 1),
    )
    world.clock.advance(2 * HOUR_MS)

    async def process() -> bool:
        async with world.database.write() as session:
            return await execute(session, UUID(planned["handover"]["id"]), world.clock.now_ms())

    assert sorted(await asyncio.gather(*(process() for _ in range(4)))) == [False, False, False, True]
    assert await scalars(world, "SELECT count(*) FROM handover_loss") == [(2,)]
    await asyncio.gather(*(due(world) for _ in range(3)))
    assert await scalars(world, "SELECT count(*) FROM rep_territory") == [(2,)]


async def test_a_customer_that_moved_or_went_before_the_day_is_left_where_it_is(world: World, manager: httpx2.AsyncClient) -> None:
    planned = await post(
        manager,
        "/handovers",
        customer_ids=ids(world, 0, 1),
        to_territory_id=territory(world, 1),
        late_orders="route",
        effective_at=at(world, 1),
    )
    await world.change(Customer, world.company.customers[1].id, territory_id=world.company.territories[1].id)
    world.clock.advance(2 * HOUR_MS)
    await due(world)
    assert (await opened(manager, planned["handover"]["id"]))["handover"]["customers"] == 1
    assert await scalars(world, "SELECT count(*) FROM handover_loss") == [(1,)]


async def test_a_cancelled_handover_is_never_done(world: World, manager: httpx2.AsyncClient) -> None:
    planned = await post(
        manager,
        "/handovers",
        customer_ids=ids(world, 0),
        to_territory_id=territory(world, 1),
        late_orders="route",
        effective_at=at(world, 1),
    )
    url = f"/handovers/{planned['handover']['id']}/cancel"
    cancelled = await post(manager, url, reason="she stays")
    assert (cancelled["handover"]["state"], cancelled["handover"]["reason"]) == ("cancelled", "she stays")
    world.clock.advance(2 * HOUR_MS)
    await due(world)
    assert await territory_of(world, 0) == 0
    assert "nothing is left" in problem(await manager.post(url, json={}), 409, "handover_ended")["detail"]
    done = await post(manager, "/handovers", customer_ids=ids(world, 0), to_territory_id=territory(world, 1), late_orders="route")
    refused = await manager.post(f"/handovers/{done['handover']['id']}/cancel", json={})
    assert "hand the customers back" in problem(refused, 409, "handover_ended")["detail"]
    problem(await manager.post(f"/handovers/{rep(world, 0)}/cancel", json={}), 404, "handover_not_found")
    problem(await manager.get(f"/handovers/{rep(world, 0)}"), 404, "handover_not_found")


async def test_nonsense_is_refused_by_the_field_with_a_remedy(world: World, manager: httpx2.AsyncClient) -> None:
    first, here, there, unknown = ids(world, 0)[0], territory(world, 0), territory(world, 1), str(world.ids.new())
    for body, field in (
        ({}, "customer_ids"),
        ({"customer_ids": [first]}, "to_territory_id"),
        ({"customer_ids": [first], "territory_id": here, "to_territory_id": there}, "territory_id"),
        ({"customer_ids": [first], "to_territory_id": here}, "customer_ids[0]"),
        ({"customer_ids": [first, first], "to_territory_id": there}, "customer_ids[1]"),
        ({"customer_ids": [first, unknown], "to_territory_id": there}, "customer_ids[1]"),
        ({"customer_ids": [first], "to_territory_id": unknown}, "to_territory_id"),
        ({"customer_ids": [first], "to_rep_id": rep(world, 1)}, "to_rep_id"),
        ({"territory_id": here, "to_territory_id": here}, "to_territory_id"),
        ({"territory_id": unknown, "to_territory_id": here}, "territory_id"),
        ({"territory_id": here, "to_rep_id": rep(world, 0)}, "to_rep_id"),
        ({"territory_id": here, "to_rep_id": unknown}, "to_rep_id"),
        ({"territory_id": here, "to_rep_id": rep(world, 1), "from_rep_id": unknown}, "from_rep_id"),
        ({"territory_id": here, "to_rep_id": rep(world, 1), "to_territory_id": there}, "to_rep_id"),
        ({"territory_id": here, "to_territory_id": there, "from_rep_id": rep(world, 0)}, "from_rep_id"),
    ):
        for path, more in (("/handovers/preview", {}), ("/handovers", {"late_orders": "route"})):
            refused = problem(await manager.post(path, json={**body, **more}), 400, "unfit_handover")
            assert field in refused["fields"], (body, refused)
            assert ";" in refused["fields"][field], "it says what to do"
    good = {"customer_ids": [first], "to_territory_id": there, "late_orders": "route"}
    for when in (at(world, -1), at(world, 24 * 400)):
        refused = problem(await manager.post("/handovers", json={**good, "effective_at": when}), 400, "unfit_handover")
        assert refused["fields"].keys() == {"effective_at"}
    for wrong in ({"effective_at": "2026-11-18T00:00:00"}, {"late_orders": "perhaps"}, {"unknown": 1}):
        problem(await manager.post("/handovers", json={**good, **wrong}), 400, "invalid_request")
    assert await scalars(world, "SELECT count(*) FROM handover") == [(0,)]


async def test_whose_a_territory_was_must_be_said_where_several_work_it(world: World, manager: httpx2.AsyncClient) -> None:
    async with world.database.write() as session:
        session.add(RepTerritoryModel(rep_id=world.company.reps[1].id, territory_id=world.company.territories[0].id))
        await session.execute(
            sa.text("INSERT INTO rep (id, code, name) SELECT :id, 'REP2', 'Third'").bindparams(
                sa.bindparam("id", world.ids.new(), RepTerritoryModel.rep_id.type)
            )
        )
    (third,) = await scalars(world, "SELECT id FROM rep WHERE code = 'REP2'")
    to_rep_id = third[0].hex() if isinstance(third[0], bytes) else str(third[0])
    body = {"territory_id": territory(world, 0), "to_rep_id": to_rep_id, "late_orders": "route"}
    refused = problem(await manager.post("/handovers", json=body), 400, "unfit_handover")
    assert "REP0" in refused["fields"]["from_rep_id"]
    assert "REP1" in refused["fields"]["from_rep_id"]
    done = await post(manager, "/handovers", **body, from_rep_id=rep(world, 1))
    assert done["handover"]["from_rep_id"] == rep(world, 1)


async def test_two_handovers_of_one_customer_are_not_planned_together(world: World, manager: httpx2.AsyncClient) -> None:
    later = {"late_orders": "route", "effective_at": at(world, 5)}
    whole = {"territory_id": territory(world, 0), "to_rep_id": rep(world, 1), **later}
    one = {"customer_ids": ids(world, 1), "to_territory_id": territory(world, 1), **later}
    other = {"customer_ids": ids(world, 2), "to_territory_id": territory(world, 0), **later}
    for first, second in ((whole, one), (one, whole), (whole, whole), (one, one)):
        planned = await post(manager, "/handovers", **first)
        refused = problem(await manager.post("/handovers", json=second), 409, "handover_overlaps")
        assert planned["handover"]["id"] in refused["detail"]
        await post(manager, f"/handovers/{planned['handover']['id']}/cancel")
    answers = await asyncio.gather(*(manager.post("/handovers", json=body) for body in (one, whole, one, other)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]


async def report(world: World, device: OrderClient, **values: Any) -> None:
    """Say how a device is, as its SDK does."""
    identity = (await device.status()).identity
    assert identity is not None
    async with world.database.read() as session:
        found = await session.execute(
            sa.text("SELECT incarnation FROM device WHERE token_digest IS NOT NULL AND number_prefix = :prefix"),
            {"prefix": identity.number_prefix},
        )
        incarnation = found.scalar_one()
    said = DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=identity.device_id,
        incarnation=incarnation,
        epoch=(await device.status()).epoch,
        **values,
    )
    await world.endpoint(identity.token).report(said)


async def test_who_has_acknowledged_is_shown_device_by_device(world: World, manager: httpx2.AsyncClient, tmp_path: Path) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "one.db") as one,
        await world.enrolled_device("rep0", tmp_path / "two.db") as two,
    ):
        await one.sync()
        await two.sync()
        what = {"territory_id": territory(world, 0), "to_territory_id": territory(world, 1)}
        done = await post(manager, "/handovers", **what, late_orders="route")
        handover_id, place = done["handover"]["id"], done["handover"]["commit_seq"]
        assert [(each["expected"], each["waiting"], each["seen_since"]) for each in done["devices"]] == [(2, 2, False)] * 2
        bucket = f"account:{world.company.customers[0].id.hex}"
        common = {"id": world.ids.new(), "bucket": bucket, "purged_at_ms": world.clock.now_ms()}
        early = PurgeReceipt(**{**common, "id": world.ids.new()}, rows=9, checksum=9, purged_at_cursor=place - 1)
        world.clock.advance(1)
        await report(world, one, cursor=place - 1, receipts=(early,))
        assert (await acknowledged(manager, handover_id, one))["waiting"] == 2, "that was an earlier loss"
        assert [(await acknowledged(manager, handover_id, each))["seen_since"] for each in (one, two)] == [True, False]
        receipt = PurgeReceipt(**common, rows=3, checksum=77, purged_at_cursor=place)
        await report(world, one, cursor=place - 1, receipts=(receipt,))
        first = await acknowledged(manager, handover_id, one)
        assert (first["purged"], first["waiting"], first["rows_purged"]) == (1, 1, 3)
        assert [each["state"] for each in first["accounts"]] == ["waiting", "purged"]
        assert (first["accounts"][1]["checksum"], first["accounts"][1]["bucket"]) == (77, bucket)
        await report(world, one, cursor=place)
        first = await acknowledged(manager, handover_id, one)
        assert (first["purged"], first["clear"], first["waiting"]) == (1, 1, 0)
        await post(manager, "/handovers", customer_ids=ids(world, 0), to_territory_id=territory(world, 0), late_orders="route")
        second = await acknowledged(manager, handover_id, two)
        assert (second["returned"], second["waiting"]) == (1, 1)


async def acknowledged(manager: httpx2.AsyncClient, handover_id: str, device: OrderClient) -> dict[str, Any]:
    """What a handover says of one device."""
    identity = (await device.status()).identity
    assert identity is not None
    devices = (await opened(manager, handover_id))["devices"]
    return next(each for each in devices if each["device_id"] == str(identity.device_id))


async def test_handovers_are_listed_latest_first_page_by_page(world: World, manager: httpx2.AsyncClient) -> None:
    made = []
    for place in (1, 0, 1):
        world.clock.advance(1_000)
        body = {"customer_ids": ids(world, 0), "to_territory_id": territory(world, place), "late_orders": "honour"}
        made.append((await post(manager, "/handovers", **body))["handover"]["id"])
    first = (await manager.get("/handovers?limit=2")).json()
    second = (await manager.get(f"/handovers?limit=2&before={first['next']}")).json()
    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
