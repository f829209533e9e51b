"""What the change log does by itself."""

from typing import Final

from server.changelog.forgetting import forget_intents
from server.changelog.log import age_out
from server.runtime.slices import Job, JobContext


async def forget_tombstones(context: JobContext) -> None:
    """Drop tombstones and leaves that are older than the retention; a device that slept longer resyncs."""
    async with context.database.write() as session:
        await age_out(session, now_ms=context.clock.now_ms(), retention_days=context.retention_days)


async def forget_verdicts(context: JobContext) -> None:
    """Drop verdicts that no device can ask for any more, in transactions that keep nobody waiting."""
    forgotten = -1
    while forgotten != 0:
        async with context.database.write() as session:
            forgotten = await forget_intents(session, now_ms=context.clock.now_ms())


JOBS: Final = (
    Job(name="forget_tombstones", interval_seconds=3600, run=forget_tombstones),
    Job(name="forget_verdicts", interval_seconds=3600, run=forget_verdicts),
)
