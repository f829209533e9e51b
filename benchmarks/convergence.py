"""500 devices of 50 reps come back within a minute of each other: each has 20 orders to send and 2,000 changed rows to fetch.

Devices are real ones, with files of their own, in two processes. The limit is how long the server's own work would take if
nobody waited for anybody: the processor seconds that it and its database used, on all cores at once.
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psutil
import sqlalchemy as sa

from benchmarks.crowd import Member
from benchmarks.figures import Figure, forget_peak, percentile, processor_seconds, resident_megabytes, spending
from benchmarks.premises import Premises
from benchmarks.standard_work import LISTS, StandardWork, make_id
from server.customers.models import RepTerritoryModel
from server.identity.principals import Role
from server.identity.service import create_enrolment_code, create_user
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database, WriteSession
from server.runtime.rows import insert_rows
from sync_protocol.entities.customers import Customer, CustomerStatus, Rep, Territory
from tests.support.databases import postgres_database

DEVICES: Final = 500
REPS: Final = 50
CUSTOMERS_EACH: Final = 10
ORDERS_EACH: Final = 20
CHANGES: Final = 2_000
SECONDS: Final = 60.0
PROCESSES: Final = 2
CATALOGUE_SCALE: Final = 0.02


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What a crowd that came back did, and what it cost the server: processor seconds, megabytes idle and at the peak."""

    devices: int
    orders: int
    shares: list[dict[str, Any]]
    processor: float
    foreign_cores: float
    idle: float
    peak: float

    def total(self, name: str) -> float:
        return float(sum(share[name] for share in self.shares))

    @property
    def within_seconds(self) -> float:
        return SECONDS * self.devices / DEVICES


def run(place: Premises) -> list[Figure]:
    devices = max(10, round(DEVICES * place.work.products_count / 100_000))
    with _crowded(place) as crowd:
        return [_figure(place.engine, _come_back(crowd, devices))]


def _come_back(crowd: Premises, devices: int) -> Came:
    members = _members(crowd, devices)
    shares = [members[number::PROCESSES] for number in range(PROCESSES)]
    server = crowd.server
    _each(shares, "prepare", server_url=crowd.server_url, orders=ORDERS_EACH)
    crowd.run(_change)
    forget_peak(server.pid)
    idle = resident_megabytes(server.pid)
    used = processor_seconds(server, *crowd.others)
    with spending(*crowd.others) as spent:
        found = _each(shares, "converge", seconds=SECONDS * devices / DEVICES)
    return Came(
        devices=devices,
        orders=ORDERS_EACH,
        shares=found,
        processor=processor_seconds(server, *crowd.others) - used,
        foreign_cores=spent.foreign_cores,
        idle=idle,
        peak=resident_megabytes(server.pid, peak=True),
    )


def _figure(engine: str, came: Came) -> Figure:
    durations = [each for share in came.shares for each in share["durations"]]
    failures = {name: count for share in came.shares for name, count in share["failures"].items()}
    what = f"{came.devices} devices with {came.orders} orders and {CHANGES:,} changes each"
    note = (
        f"{len(durations):,} converged; a device's sync took {percentile(durations, 0.5):.1f} s in the median, "
        f"{percentile(durations, 0.99):.1f} s at p99; {came.total('rows'):,.0f} rows; "
        f"server {came.idle:.0f} MB idle, {came.peak:.0f} MB at its peak, {came.processor:.0f} s of processor with its database; "
        f"devices {came.total('peak_megabytes'):.0f} MB in {PROCESSES} processes; {came.total('refused'):.0f} asked to wait, "
        f"{came.total('refused_without_wait'):.0f} of them without Retry-After; other failures: {failures or 'none'}"
    )
    return Figure(
        budget="convergence",
        what=f"{what}, back within {came.within_seconds:.0f} s of each other, all decided and up to date",
        engine=engine,
        value=max(share["seconds"] for share in came.shares),
        unit="s",
        aim=came.within_seconds * 5,
        limit=max(came.within_seconds, came.processor / (psutil.cpu_count() or 1)),
        limit_what="the minute itself, or the server's processor on all cores",
        limit_unit="s",
        cost_max=5,
        note=note,
        foreign_cores=came.foreign_cores,
    )


@contextmanager
def _crowded(place: Premises) -> Iterator[Premises]:
    """A server of its own with a company of many reps and a small catalogue."""
    folder = place.folder / "crowd"
    folder.mkdir()
    if place.engine == "sqlite":
        crowd = Premises(place.engine, folder, f"sqlite:///{folder / 'server.db'}", StandardWork(CATALOGUE_SCALE))
        yield from _founded(crowd)
        return
    with postgres_database(place.database_url) as url:
        yield from _founded(Premises(place.engine, folder, url, StandardWork(CATALOGUE_SCALE)))


def _founded(crowd: Premises) -> Iterator[Premises]:
    crowd.found()
    try:
        yield crowd
    finally:
        crowd.stop_server()


def _members(crowd: Premises, devices: int) -> list[Member]:
    """Hire the reps, each with a territory, customers and codes for its devices."""

    async def hire(database: Database) -> list[str]:
        clock, chance, codes = SystemClock(), random.Random("crowd"), list[str]()
        ids = IdSource(clock)
        async with database.write() as session:
            users = [await _hire(session, crowd.work, ids, number, chance) for number in range(REPS)]
            for number in range(devices):
                user_id = users[number % REPS]
                issued = await create_enrolment_code(
                    session, user_id=user_id, created_by_id=user_id, now_ms=clock.now_ms(), valid_minutes=60
                )
                codes.append(issued.code)
        return codes

    return [Member(str(crowd.folder / f"device{number}.db"), code) for number, code in enumerate(crowd.run(hire))]


async def _hire(session: WriteSession, work: StandardWork, ids: IdSource, number: int, chance: random.Random) -> Any:
    rep = Rep(id=make_id(chance), code=f"R{number:03d}", name=f"Rep {number}")
    territory = Territory(
        id=make_id(chance),
        code=f"T{number:03d}",
        name=f"Territory {number}",
        time_zone="Europe/Amsterdam",
        price_list_id=work.lists[number % LISTS].id,
        stock_location_id=work.location.id,
    )
    customers = [
        Customer(
            id=make_id(chance),
            code=f"K{number:03d}-{each}",
            name=f"Customer {each} of {number}",
            status=CustomerStatus.ACTIVE,
            territory_id=territory.id,
        )
        for each in range(CUSTOMERS_EACH)
    ]
    for rows in ([rep], [territory], customers):
        await insert_rows(session, rows)
    session.add(RepTerritoryModel(rep_id=rep.id, territory_id=territory.id))
    await session.flush()
    now_ms = SystemClock().now_ms()
    user = await create_user(session, ids=ids, now_ms=now_ms, login=f"rep{number}", name=rep.name, role=Role.REP, rep_id=rep.id)
    return user.id


async def _change(database: Database) -> None:
    """The office renames every product in one commit, as an import over night does."""
    products = sa.table("product", sa.column("name"), sa.column("sku"))
    chosen = products.c.sku < f"SKU-{CHANGES:06d}"
    async with database.write() as session:
        await session.execute(sa.update(products).where(chosen).values(name=products.c.name + " new"))


def _each(shares: list[list[Member]], command: str, **arguments: object) -> list[dict[str, Any]]:
    """Run a command of `benchmarks.crowd` for each share of the devices, in processes side by side."""

    def one(share: list[Member]) -> dict[str, Any]:
        made = subprocess.run(
            (sys.executable, "-m", "benchmarks.crowd", command),
            input=msgspec.json.encode({"members": share, **arguments}),
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(f"the crowd failed at {command}: {made.stderr.decode()[-2000:]}")
        return dict(msgspec.json.decode(made.stdout))

    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(one, shares))
