"""A device that comes back after months: its replica is made anew, and nothing that its user entered is gone."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk.events import Event, ReplicaRebuilt
from server.changelog.jobs import forget_verdicts
from server.changelog.log import age_out
from server.changelog.models import ChangeCommitModel
from server.customers.models import ContactModel
from server.runtime.database import Database
from server.runtime.slices import JobContext
from server.settings import Settings
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.messages import ResyncReason
from tests.client_sdk.handmade import Handmade
from tests.processes.books import replica_differences
from tests.processes.wire import enrol_over_http, over_http, submit
from tests.support.world import World

DAY_MS = 86_400_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def pass_days(world: World, days: int) -> None:
    """Let days go by at the server, with its daily jobs. Commits take the database's own time: they are put where they belong."""
    async with world.database.write() as session:
        now = sa.update(ChangeCommitModel).where(ChangeCommitModel.committed_at_ms > world.clock.now_ms())
        await session.execute(now.values(committed_at_ms=world.clock.now_ms()))
    world.clock.advance(days * DAY_MS)
    async with world.database.write() as session:
        await age_out(session, now_ms=world.clock.now_ms(), retention_days=90)
    settings = Settings(database_url="sqlite://")
    await forget_verdicts(JobContext(database=world.database, clock=world.clock, retention_days=90, settings=settings))


@pytest.mark.parametrize(("days", "codes"), [(91, ()), (400, (Code.TOO_OLD,))])
async def test_after_months_the_replica_is_made_anew_and_what_was_entered_is_an_order_or_a_draft(
    world: World, tmp_path: Path, days: int, codes: tuple[Code, ...]
) -> None:
    path, events, contact = tmp_path / "device.db", list[Event](), world.company.contacts[0]
    busy = await Handmade.of(world)
    async with await enrol_over_http(world, "rep0", path, over_http(world)) as device:
        device.subscribe(events.append)
        await device.sync()
        decided = await submit(device, world, 0, (0, 1))
        await device.sync()
        waiting = await submit(device, world, 0, (1, 2))
        draft = await device.draft_order(world.company.customers[1].id)
        await draft.add_line(world.company.products[2].id, 3)
        async with world.database.write() as session:
            await session.execute(sa.delete(ContactModel).where(ContactModel.id == contact.id))
        await pass_days(world, 1)
        await busy.push(busy.envelope(busy.order(1)))
        await pass_days(world, days // 2)
        await pass_days(world, days - days // 2 - 1)
        (entry,) = (await device.sync()).verdicts
        assert [event.reason for event in events if isinstance(event, ReplicaRebuilt)] == [ResyncReason.BELOW_RETENTION]
        assert entry.verdict.codes == codes
        assert await device.outbox() == []
        assert await device.contacts(contact.customer_id) == []
        assert [line.quantity for line in (await draft.view()).lines] == [3]
        returned = [each for each in await device.drafts() if each.order_id == entry.subject_id]
        if codes:
            assert [line.product_id for line in returned[0].lines] == [world.company.products[1].id]
        else:
            assert (entry.verdict.outcome, returned) == (Outcome.ACCEPTED, [])
            assert (await device.order(waiting)).order.status == "confirmed"
        assert (await device.order(decided)).order.status == "confirmed"
    assert await replica_differences(world.database, path, world.company.reps[0].id) == []
