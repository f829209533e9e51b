"""What the change log does by itself."""

from typing import Final

from server.changelog.forgetting import forget_intents
from server.changelog.log import age_out, compact_sums, forget_versions, has_sums_to_compact
from server.runtime.slices import Job, JobContext


async def forget_tombstones(context: JobContext) -> None:
    """Drop tombstones and leaves that are older than the retention; a device that slept longer resyncs.

    Superseded versions go first, in a transaction of their own: commits are kept for as long as these.
    """
    async with context.database.write() as session:
        await forget_versions(session, now_ms=context.clock.now_ms(), history_days=context.settings.price_history_days)
    async with context.database.write() as session:
        await age_out(session, now_ms=context.clock.now_ms(), retention_days=context.retention_days)


async def forget_verdicts(context: JobContext) -> None:
    """Drop verdicts that no device can ask for any more, in transactions that keep nobody waiting."""
    forgotten = -1
    while forgotten != 0:
        async with context.database.write() as session:
            forgotten = await forget_intents(session, now_ms=context.clock.now_ms())


async def add_up_sums(context: JobContext) -> None:
    """Keep what is read of a bucket's sums short, however much is written."""
    async with context.database.read() as session:
        found = await has_sums_to_compact(session)
    if found:
        async with context.database.write() as session:
            await compact_sums(session)


JOBS: Final = (
    Job(name="add_up_sums", interval_seconds=5, run=add_up_sums),
    Job(name="forget_tombstones", interval_seconds=3600, run=forget_tombstones),
    Job(name="forget_verdicts", interval_seconds=3600, run=forget_verdicts),
)
