"""Images are kept fit by a process of its own: a build takes minutes of processor time, and requests stay fast meanwhile."""

import asyncio
import os
import sys
from typing import Final

import sqlalchemy as sa

from server.changelog.log import read_head
from server.changelog.models import ChangeLogModel
from server.identity.models import DeviceModel, EnrolmentCodeModel
from server.runtime.database import Database, ReadSession
from server.runtime.slices import Job, JobContext
from server.settings import Settings, environment_of
from server.sync.images.models import ImageModel
from sync_protocol.replica_schema import image_format

COMMAND: Final = (sys.executable, "-m", "server", "images", "build")
INTERVAL_SECONDS: Final = 300
_SAID_CHARACTERS_MAX: Final = 2_000


class ImageBuildFailedError(RuntimeError):
    """The process that builds images ended badly; the message has what it said."""

    def __init__(self, exit_code: int, said: str) -> None:
        super().__init__(f"«roadbook images build» ended with {exit_code}: {said[-_SAID_CHARACTERS_MAX:].strip()}")


class ImageKeeper:
    """Starts the process when there may be something to do: since its last good end the log or the devices have moved."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] | None = None

    async def keep(self, context: JobContext) -> None:
        """Raises ImageBuildFailedError."""
        if context.settings.images_max == 0:
            return
        async with context.database.read() as session:
            if not await _is_worth_a_look(session, context.settings.images_rows_min):
                return
            seen = await _situation(session, context.clock.now_ms())
        if seen == self._seen:
            return
        await _build(context.settings, context.database)
        self._seen = seen


async def _is_worth_a_look(session: ReadSession, rows_min: int) -> bool:
    """Whether there are images, or rows enough for one: a small company never pays for a process."""
    if (await session.execute(sa.select(sa.exists(sa.select(ImageModel.digest))))).scalar_one():
        return True
    some = sa.select(ChangeLogModel.row_id).where(ChangeLogModel.deleted == 0).limit(rows_min).subquery()
    return bool((await session.execute(sa.select(sa.func.count()).select_from(some))).scalar_one() >= rows_min)


async def _situation(session: ReadSession, now_ms: int) -> tuple[object, ...]:
    """What the choice of images depends on. The day is in it, so that what is kept for a day goes."""
    head = await read_head(session)
    devices = sa.select(sa.func.count(), sa.func.max(DeviceModel.enrolled_at_ms)).where(DeviceModel.revoked_at_ms.is_(None))
    codes = sa.select(sa.func.count()).where(EnrolmentCodeModel.used_at_ms.is_(None), EnrolmentCodeModel.expires_at_ms > now_ms)
    living = (await session.execute(devices)).one()
    is_open = (await session.execute(codes)).scalar_one()
    return (head.epoch, head.head, image_format(), *living, is_open, now_ms // 86_400_000)


async def _build(settings: Settings, database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    variables = {**os.environ, **environment_of(settings), **environment_of_database(url)}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=variables, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ImageBuildFailedError(process.returncode, said.decode(errors="replace"))


def environment_of_database(url: str) -> dict[str, str]:
    """The database that this process really uses, which its caller may have handed in."""
    return {"ROADBOOK_DATABASE_URL": url}


JOBS: Final = (Job(name="build_images", interval_seconds=INTERVAL_SECONDS, run=ImageKeeper().keep),)
