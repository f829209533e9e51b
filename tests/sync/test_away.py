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


STAMP = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS stamp",
        """
        CREATE TRIGGER stamp AFTER INSERT ON change_commit
        BEGIN UPDATE change_commit SET committed_at_ms = {now_ms} WHERE change = NEW.change; END
        """,
    ),
    "postgresql": (
        """
        CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.committed_at_ms = {now_ms}; RETURN NEW; END $$
        """,
        """
        CREATE OR REPLACE TRIGGER stamp BEFORE UPDATE ON change_commit
        FOR EACH ROW WHEN (OLD.commit_seq IS NULL) EXECUTE FUNCTION stamp()
        """,
    ),
}
"""A commit takes the database's own time. A device knows it by that, so it is given the world's as it is made, not later."""


@pytest.fixture
async def world(database: Database) -> World:
    founded = await World.found(database)
    async with database.write() as session:
        await session.execute(sa.update(ChangeCommitModel).values(committed_at_ms=founded.clock.now_ms()))
    await stamp_commits(founded)
    return founded


async def stamp_commits(world: World) -> None:
    """Let commits be of the world's present from here on."""
    async with world.database.write() as session:
        for statement in STAMP["sqlite" if world.database.is_sqlite else "postgresql"]:
            await session.execute(sa.text(statement.format(now_ms=world.clock.now_ms())))


async def pass_days(world: World, days: int) -> None:
    """Let days go by at the server, with its daily jobs."""
    world.clock.advance(days * DAY_MS)
    await stamp_commits(world)
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
