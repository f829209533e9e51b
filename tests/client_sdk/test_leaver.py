"""The device of a user who left: what a manager decided of its orders is not shown as if it still waited to be sent."""

from functools import partial
from pathlib import Path

import pytest

from client_sdk import OrderClient
from client_sdk.cli_sync import journal
from client_sdk.errors import DeviceRevokedError
from client_sdk.transport import HttpEndpoint
from server.runtime.database import Database
from tests.client_sdk.test_cli_handover import says, take
from tests.support.management import managing
from tests.support.world import SERVER_URL, World


async def test_an_order_that_a_manager_released_is_not_shown_as_unsent(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    wire = world.http_transport()
    opening = OrderClient.open(
        tmp_path / "device.db",
        clock=world.clock,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
        inline=True,
    )
    async with await opening as device, managing(world) as manager:
        identity = await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        await device.sync()
        for _ in range(2):
            draft = await device.draft_order(world.company.customers[0].id)
            await draft.add_line(world.company.products[0].id, 1)
            await draft.submit()
        await manager.post(f"/devices/{identity.device_id}/revocation", reason="left")
        with pytest.raises(DeviceRevokedError):
            await device.sync()
        first, second = await device.outbox()
        assert "with a manager" in first.problem
        rep_id = str(world.company.reps[0].id)
        released = {"intent_ids": [str(first.intent_id)], "rep_id": rep_id, "reason": "agreed"}
        assert (await manager.client.post("/quarantine/release", json=released)).status_code == 200
        with pytest.raises(DeviceRevokedError):
            await device.sync()
        assert [entry.intent_id for entry in await device.outbox()] == [second.intent_id]
        shown = {view.order.id: (view.pending, view.is_unsent) for view in await device.orders()}
        assert shown == {first.subject_id: (True, False), second.subject_id: (True, True)}
        assert [entry.verdict.outcome for entry in await device.journal()] == ["accepted"]


async def test_an_order_that_a_manager_discarded_is_not_explained_by_a_territory(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await World.found(database)
    endpoint_for = partial(HttpEndpoint, transport=world.http_transport())
    opening = OrderClient.open(tmp_path / "device.db", clock=world.clock, endpoint_for=endpoint_for, inline=True)
    async with await opening as device, managing(world) as manager:
        identity = await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        await device.sync()
        await take(device, world, 0, 1)
        await manager.post(f"/devices/{identity.device_id}/revocation", reason="left")
        with pytest.raises(DeviceRevokedError):
            await device.sync()
        (waiting,) = await device.outbox()
        body = {"intent_ids": [str(waiting.intent_id)], "reason": "never ordered"}
        assert (await manager.client.post("/quarantine/discard", json=body)).status_code == 200
        with pytest.raises(DeviceRevokedError):
            await device.sync()
        said = await says(capsys, journal, device, number="", limit=20)
        assert "a manager discarded it: never ordered" in said
        assert "Ask them before you enter it again." in said
        assert "territory" not in said
