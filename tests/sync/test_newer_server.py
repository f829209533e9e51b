"""A server that has more than an older app knows: what the app is told of is compared, what it is not told of is not missed."""

from collections.abc import Iterator

import msgspec
import pytest

from client_sdk import OrderClient
from client_sdk.events import ReplicaDiffers, ReplicaRepaired
from server.runtime.database import Database
from sync_protocol import verdicts
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.customers import Contact
from sync_protocol.verdicts import Code
from sync_protocol.wire import codec
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.damage import Log, damage, file_of, rows_of
from tests.support.world import World

NEWER = ["an entity", "a code in a row"]


@pytest.fixture(params=NEWER)
def newer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As of the next protocol there is more: today's devices, which speak this one, are older ones then."""
    contact = BY_NAME["contact"]
    if request.param == "an entity":
        msgspec.structs.force_setattr(contact, "since_protocol", PROTOCOL_VERSION + 1)
    else:
        monkeypatch.setattr(verdicts, "SINCE", {**verdicts.SINCE, Code.ROUTED: PROTOCOL_VERSION + 1})
    forget()
    yield request.param
    msgspec.structs.force_setattr(contact, "since_protocol", 1)
    monkeypatch.undo()
    forget()


def forget() -> None:
    """What is found once for each version is to be found again."""
    codec.is_told_whole.cache_clear()
    codec._unsummed_kinds.cache_clear()


@pytest.fixture
async def world(database: Database, newer: str) -> World:
    assert newer
    return await World.found(database)


@pytest.fixture
async def device(world: World, device: OrderClient) -> OrderClient:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, 1)
    await draft.submit()
    await device.sync()
    return device


async def test_an_older_device_is_not_sent_round_in_circles(world: World, device: OrderClient, log: Log, newer: str) -> None:
    held = rows_of(file_of(device))
    assert bool(held["contact"]) == (newer != "an entity")
    assert len(held["sales_order"]) == 1
    await world.change(Contact, world.company.contacts[0].id, name="Somebody Else")
    for _ in range(3):
        await device.sync()
    assert (log.ranges, log.repairs, log.told(ReplicaDiffers)) == ([], [], [])
    assert (await device.verify()).is_equal, "what it is told is compared all the same"


@pytest.mark.parametrize("lost", ["address", "sales_order", "product"])
async def test_what_an_older_device_is_told_is_repaired(device: OrderClient, log: Log, lost: str) -> None:
    whole = rows_of(file_of(device))
    damage(file_of(device), f"DELETE FROM {lost}")
    await device.verify()
    assert {each.changed.keys() == {lost} for each in log.told(ReplicaRepaired)} == {True}
    assert rows_of(file_of(device)) == whole
    assert (await device.verify()).is_equal
    assert not log.told(ReplicaDiffers)
