"""The files that every run begins with: a server with a small company, and its devices fresh, enrolled and synced.

They are made once per process, by the product itself, from a seed of their own; a run copies what it needs.
"""

import asyncio
import atexit
import random
import shutil
import sqlite3
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.clock import IdSource as DeviceIds
from server.sync.images.building import ImageBuilder
from server.sync.images.upkeep import ImagePolicy
from tests.simulation.images import StorageInThisThread
from tests.simulation.oracle import SYNCED_TABLES, VERSIONS, Columns
from tests.support.databases import migrate_database, open_database
from tests.support.device_files import look_into
from tests.support.scratch import scratch_folder
from tests.support.world import SERVER_URL, START_MS, Company, World, small_company

REPS = (0, 0, 1, 1)
"""Whose each device is."""
STATES = ("fresh", "enrolled", "synced")
_EPOCH = UUID("019f0000-0000-7000-8000-000000000001")
_TIME = """
    CREATE TRIGGER simulated_time AFTER INSERT ON change_commit
    BEGIN UPDATE change_commit SET committed_at_ms = virtual_now_ms() WHERE change = NEW.change; END
"""


class StoppedClock:
    """The server's time when the template is made."""

    def now_ms(self) -> int:
        return START_MS


class Template(NamedTuple):
    """Closed files below `folder`: `server.db`, with images `images.db`, and `<place>/<state>/tablet.db` for each device."""

    folder: Path
    company: Company
    columns: Columns


def canary(customer: int) -> str:
    """A text that is in one customer's row and nowhere else."""
    return f"canary-{customer}-quite-unmistakable"


def company() -> Company:
    small = small_company(products=4)
    named = tuple(msgspec.structs.replace(each, note=canary(n)) for n, each in enumerate(small.customers))
    return msgspec.structs.replace(small, customers=named)


@cache
def template() -> Template:
    """The template of this process. It stays until the process ends."""
    folder = scratch_folder("simulation")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate_database(f"sqlite:///{folder / 'server.db'}")
    with sqlite3.connect(folder / "server.db") as connection:
        connection.execute("UPDATE change_head SET epoch = ?", (_EPOCH.bytes,))
    connection.close()
    asyncio.run(_make(folder))
    with sqlite3.connect(folder / "server.db") as connection:
        connection.execute(_TIME)
    connection.close()
    asyncio.run(_make_images(folder))
    return Template(folder, company(), _columns(folder / "0" / "synced"))


async def _make(folder: Path) -> None:
    database = open_database(f"sqlite:///{folder / 'server.db'}", pool_size=1)
    world = await World.found(database, company())
    for place, rep in enumerate(REPS):
        kept = {state: folder / str(place) / state for state in STATES}
        for each in kept.values():
            each.mkdir(parents=True)
        await (await _opened(world, kept["fresh"], place)).close()
        shutil.copytree(kept["fresh"], kept["enrolled"], dirs_exist_ok=True)
        device = await _opened(world, kept["enrolled"], place)
        await device.enrol(SERVER_URL, await world.code_for(f"rep{rep}"), f"device {place}")
        await device.close()
    async with database.write() as session:  # devices remember when what they know was committed
        await session.execute(sa.text("UPDATE change_commit SET committed_at_ms = :now"), {"now": START_MS})
    for place in range(len(REPS)):  # only now: each enrolment is a change that the others see
        shutil.copytree(folder / str(place) / "enrolled", folder / str(place) / "synced", dirs_exist_ok=True)
        device = await _opened(world, folder / str(place) / "synced", place)
        await device.sync()
        await device.close()
    await database.close()


async def _make_images(folder: Path) -> None:
    """The same server with images of all that its devices hold: `images.db`, and `images` with their files."""
    shutil.copyfile(folder / "server.db", folder / "images.db")
    database = open_database(f"sqlite:///{folder / 'images.db'}", pool_size=1)
    policy = ImagePolicy(sets_max=20, rows_min=1, retention_days=90)
    built = await ImageBuilder(database, StorageInThisThread(str(folder / "images")), StoppedClock(), policy).run()
    assert built.built
    await database.close()


async def _opened(world: World, folder: Path, place: int) -> OrderClient:
    return await OrderClient.open(
        folder / "tablet.db",
        time_zone="Europe/Amsterdam",
        clock=world.clock,
        ids=DeviceIds(world.clock, random.Random(f"template/{place}")),
        endpoint_for=lambda _url, token: world.endpoint(token),
        inline=True,
    )


def _columns(device: Path) -> Columns:
    connection = look_into(device / "tablet.db")
    names = {}
    for table in SYNCED_TABLES:
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        names[table] = tuple(name for name in found if name not in VERSIONS)
    connection.close()
    return Columns(names)
