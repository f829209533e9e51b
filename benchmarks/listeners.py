"""A thousand devices listen to one server: what a change for all of them costs, and what a restart of the server does.

They are simulated devices: the SDK's own follower and transport over real sockets, without a file, in this process.
"""

import asyncio
import time
from collections import Counter
from typing import Final

import sqlalchemy as sa

from benchmarks.figures import Figure, Spent, forget_peak, percentile, processor_seconds, resident_megabytes, spending
from benchmarks.premises import LOGIN, Premises, opened
from client_sdk.clock import SystemTimer
from server.app import intent_handlers
from server.catalog.models import ProductModel
from server.changelog.log import read_head
from server.identity.service import create_enrolment_code, user_of_login
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database
from server.sync.endpoint import ServerEndpoint
from server.sync.pacing import HINTS_PER_SECOND
from sync_protocol.wire.messages import EnrolRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.ears import Tuned
from tests.support.listeners import Crowd, Member

LISTENERS: Final = 1_000
COME_PER_SECOND: Final = 60.0
PATIENCE_SECONDS: Final = 300.0


def run(place: Premises) -> list[Figure]:
    _ = place.server
    return asyncio.run(_run(place, max(20, round(LISTENERS * place.work.products_count / 100_000))))


async def _run(place: Premises, count: int) -> list[Figure]:
    async with opened(place.database_url) as database:
        crowd = Crowd(place.server_url, await _members(database, count), SystemTimer())
        before = resident_megabytes(place.server.pid)
        try:
            await crowd.start(COME_PER_SECOND)
            await crowd.until(lambda them: them.live == count, PATIENCE_SECONDS)
            kilobytes = (resident_megabytes(place.server.pid) - before) * 1024 / count
            told = await _a_change_for_all(place, database, crowd)
            restarted = await _a_restart(place, database, crowd)
        finally:
            await crowd.stop()
    return [told, restarted, _memory(place, count, kilobytes)]


async def _members(database: Database, count: int) -> list[Member]:
    clock = SystemClock()
    ids, made = IdSource(clock), list[Member]()
    async with database.write() as session:
        user = await user_of_login(session, LOGIN)
        codes = [
            await create_enrolment_code(session, user_id=user.id, created_by_id=user.id, now_ms=clock.now_ms(), valid_minutes=60)
            for _ in range(count)
        ]
    nobody = ServerEndpoint(database, intent_handlers(), clock, ids, "")
    enrolled = [
        await nobody.enrol(EnrolRequest(protocol_version=PROTOCOL_VERSION, code=each.code, device_name="listener"))
        for each in codes
    ]
    for each in enrolled:
        endpoint = ServerEndpoint(database, intent_handlers(), clock, ids, each.token)
        made.append(await Tuned(endpoint, each).up_to_date())
    return made


async def _change(place: Premises, database: Database, name: str) -> int:
    """Rename a product, which everybody holds; where the log stands then."""
    async with database.write() as session:
        await session.execute(sa.update(ProductModel).where(ProductModel.id == place.work.products[0].id).values(name=name))
    async with database.read() as session:
        return (await read_head(session)).head


async def _a_change_for_all(place: Premises, database: Database, crowd: Crowd) -> Figure:
    count, server = len(crowd.listeners), place.server
    crowd.forget()
    used = processor_seconds(server)
    with spending(*place.others) as spent:
        head = await _change(place, database, "Changed for all")
        seconds = await crowd.until(lambda them: them.have(head), PATIENCE_SECONDS)
    served = processor_seconds(server) - used
    return Figure(
        budget="listeners",
        what=f"a change that concerns all {count:,} that listen, until all have pulled it",
        engine=place.engine,
        value=seconds,
        unit="s",
        aim=2 * count / HINTS_PER_SECOND,
        limit=max(served, count / HINTS_PER_SECOND),
        limit_what="hints at their pace, or the server's processor",
        limit_unit="s",
        cost_max=2,
        note=_of_pulls(crowd) + f"; server {served:.1f} s of processor",
        foreign_cores=spent.foreign_cores,
    )


async def _a_restart(place: Premises, database: Database, crowd: Crowd) -> Figure:
    count = len(crowd.listeners)
    crowd.forget()
    began = time.perf_counter()
    await asyncio.to_thread(place.stop_server)
    stopped = time.perf_counter() - began
    head = await _change(place, database, "Changed while it was away")
    await asyncio.to_thread(place.start_server)
    forget_peak(place.server.pid)
    away = time.perf_counter()
    with spending(*place.others) as spent:
        await crowd.until(lambda them: them.live == count and them.have(head), PATIENCE_SECONDS)
    moments = sorted({id(each): each.pulls[0][0] for each in crowd.listeners if each.pulls}.values())
    return _restart_figure(place, crowd, moments, (stopped, time.perf_counter() - away), spent)


def _restart_figure(place: Premises, crowd: Crowd, moments: list[float], took: tuple[float, float], spent: Spent) -> Figure:
    stopped, seconds = took
    mean = len(moments) / max(1.0, percentile(moments, 0.9) - moments[0]) * 0.9
    peak = max(Counter(int(moment - moments[0]) for moment in moments).values())
    served = processor_seconds(place.server)
    return Figure(
        budget="listeners",
        what=f"the busiest second of {len(moments):,} that come back after a restart of their server",
        engine=place.engine,
        value=float(peak),
        unit="devices",
        aim=len(moments) / 6,
        limit=mean,
        limit_what="the mean while nine of ten come",
        limit_unit="devices/s",
        cost_max=3,
        note=(
            f"stopped in {stopped:.1f} s; all listen again and have what they missed {seconds:.0f} s after it is back; "
            f"{_of_pulls(crowd)}; "
            f"server {served:.0f} s of processor, {resident_megabytes(place.server.pid, peak=True):.0f} MB at its peak; "
            f"tries that failed: {crowd.failures() or 'none'}"
        ),
        foreign_cores=spent.foreign_cores,
    )


def _of_pulls(crowd: Crowd) -> str:
    durations = [seconds for _, seconds in crowd.pulls()]
    median, p99 = (percentile(durations, share) * 1000 for share in (0.5, 0.99))
    return f"{len(durations):,} pulls, median {median:.0f} ms, p99 {p99:.0f} ms"


def _memory(place: Premises, count: int, kilobytes: float) -> Figure:
    return Figure(
        budget="listeners",
        what=f"memory of the server for each of {count:,} streams",
        engine=place.engine,
        value=kilobytes,
        unit="kB",
        aim=100,
        limit=16,
        limit_what="what the kernel keeps for a socket, at least",
        limit_unit="kB",
        cost_max=8,
    )
