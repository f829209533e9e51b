"""Systematic crashes: each core scenario, its processes killed before and after every single statement of its act.

`python -m tests.simulation.crashes` runs them all. A scenario that was crashed must come to rest with every invariant kept,
and must end as it ends where nothing crashes.
"""

import argparse
import gc
import logging
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple

import server  # noqa: F401  # first of all, so that its SQLite takes the place of the standard library's

# isort: split
from tests.simulation.handset import Handset
from tests.simulation.loop import run_virtually
from tests.simulation.oracle import Snapshot
from tests.simulation.plan import Plan
from tests.simulation.power import plugged_in
from tests.simulation.run import prepare
from tests.simulation.scenarios import SCENARIOS, Scenario
from tests.simulation.world import SimulatedWorld

SIDES: Final = ("before", "after")
Spoil = Callable[[SimulatedWorld], None]


class Site(NamedTuple):
    """Where a process dies: before or after the n-th statement that it carries out in the act."""

    process: int | str
    statement: int
    side: str


class Fuse:
    """Counts a process's statements, over all its lives, and burns once."""

    def __init__(self, site: Site | None) -> None:
        self.site = site
        self.statements = 0
        self.is_burnt = False

    def __call__(self) -> str:
        self.statements += 1
        if self.site is None or self.is_burnt or self.statements != self.site.statement:
            return ""
        self.is_burnt = True
        return self.site.side


class Ended(NamedTuple):
    """How a scenario ended: what there is then, without what an id or a clock makes differ; what went wrong, and where."""

    state: Any
    failure: str
    where: str
    statements: dict[int | str, int]


def plan_of(scenario: Scenario) -> Plan:
    return Plan(
        seed=0,
        devices=len(scenario.states),
        page_rows=scenario.page_rows,
        through_app=False,
        statements_are_slow=False,
        poison_rate=0.0,
        rates={},
        steps=(),
        states=scenario.states,
    )


def crash(scenario: Scenario, site: Site | None, spoil: Spoil | None = None) -> Ended:
    """Run a scenario with a crash at `site`, or with none. `spoil` is done to the world before the scenario begins."""
    prepare()
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        return run_virtually(_crash(scenario, site, spoil or (lambda _: None)))
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


async def _crash(scenario: Scenario, site: Site | None, spoil: Spoil) -> Ended:
    world = SimulatedWorld(plan_of(scenario))
    fuses: dict[int | str, Fuse] = {}
    state, failure, where = None, "", ""
    try:
        await world.begin()
        spoil(world)
        await scenario.prepare(world)
        fuses = {process: Fuse(site if site is not None and site.process == process else None) for process in scenario.processes}
        _lay(world, fuses)
        await scenario.act(world)
        _lay(world, dict.fromkeys(scenario.processes))
        await world.come_to_rest()
        assert site is None or fuses[site.process].is_burnt, "it did not crash"
        state = _state(world)
    except Exception as error:  # noqa: BLE001  # whatever ends a run is its outcome
        found = world.trace.violation or error
        failure = str(found) or type(found).__name__
        where = "".join(traceback.format_exception(found))
    finally:
        await world.close()
    return Ended(state, failure, where, {process: fuse.statements for process, fuse in fuses.items()})


def _lay(world: SimulatedWorld, fuses: dict[int | str, Any]) -> None:
    for process, fuse in fuses.items():
        if isinstance(process, int):
            world.handsets[process].fuse = world.handsets[process].life.fuse = fuse
        else:
            world.server.fuse = world.server.process.fuse = fuse


def cut(scenario: Scenario, site: Site, synchronous: str = "") -> Ended:
    """Run a scenario whose device loses its power at `site`, with what was not synced; it syncs as it does, or as it is told."""
    chance = random.Random(f"{scenario.name}/{site}")
    with plugged_in() as disk:

        def prepare_devices(world: SimulatedWorld) -> None:
            for handset in world.handsets:
                handset.cut = handset.life.cut = partial(disk.after_a_cut, handset.folder, chance)
                handset.synchronous = synchronous
                handset.be_careless()

        ended = crash(scenario, site, prepare_devices)
        assert disk.syncs, "no file of a device is on this disk"
        return ended


# How it ended


def _state(world: SimulatedWorld) -> Any:
    now = world.server.history.latest
    assert now is not None
    kept = ("product", "price_entry", "stock_level", "territory", "address", "contact")
    return {
        "orders": sorted(_orders(now)),
        "customers": sorted((row[now.columns.place["customer"]["name"]], *row[3:5]) for row in now.tables["customer"]),
        **{table: _rows(now, table, _founded(world)) for table in kept},
        "intents": sorted((record.kind, record.outcome) for record in world.server.history.records.values()),
        "devices": [_device(handset) for handset in world.handsets],
    }


def _rows(now: Snapshot, table: str, ids: set[bytes]) -> list[tuple[Any, ...]]:
    """Rows with these ids, without their times."""
    timeless = [place for name, place in now.columns.place[table].items() if not name.endswith("_ms")]
    return [tuple(row[place] for place in timeless) for row in now.tables[table] if row[0] in ids]


def _founded(world: SimulatedWorld) -> set[bytes]:
    return {row.id.bytes for rows in world.company.rows() for row in rows if hasattr(row, "id")}


def _orders(now: Snapshot) -> Iterator[tuple[Any, ...]]:
    place = now.columns.place["sales_order_line"]
    columns = ("product_id", "quantity", "allocated", "backordered", "unit_price")
    for order in now.tables["sales_order"]:
        lines = [line for line in now.tables["sales_order_line"] if line[place["order_id"]] == order[0]]
        said = ("customer_id", "purchase_order_number", "status", "revision", "subtotal_minor")
        named = tuple(now.columns.of("sales_order", order, name) for name in said)
        yield (*named, tuple(sorted(tuple(line[place[name]] for name in columns) for line in lines)))


def _device(handset: Handset) -> Any:
    if handset.is_wiped or handset.client is None:
        return "wiped"
    drafts = handset.query("SELECT state, purchase_order_number FROM draft ORDER BY 1, 2")
    journal = handset.query("SELECT kind, outcome FROM journal ORDER BY 1, 2")
    waiting = handset.query("SELECT kind FROM outbox ORDER BY 1")
    return (drafts, journal, waiting, handset.query("SELECT count(*) FROM product"))


# All of them


class Failure(NamedTuple):
    """A crash after which something does not hold."""

    scenario: str
    site: Site
    what: str
    where: str

    def __str__(self) -> str:
        return (
            f"{self.scenario}: {self.site.process} {self.site.side} its statement {self.site.statement}: {self.what}\n{self.where}"
        )


def sites_of(statements: dict[int | str, int]) -> list[Site]:
    """Every place where one of its processes can die."""
    return [
        Site(process, number, side) for process, count in statements.items() for number in range(1, count + 1) for side in SIDES
    ]


def run_scenario(place: int, every: int = 1, first: int = 0, *, power: bool = False) -> tuple[str, int, int, list[Failure]]:
    """Crash a scenario at all its sites, or at every n-th from one on. Its name, its sites, those tried, what failed.

    With `power` the devices' power is cut there.
    """
    scenario = SCENARIOS[place]
    calm = crash(scenario, None)
    if calm.failure:
        raise AssertionError(f"{scenario.name}, without a crash: {calm.failure}\n{calm.where}")
    sites = [site for site in sites_of(calm.statements) if not power or site.process != "server"]
    tried = sites[first % every :: every]
    failures = []
    for site in tried:
        ended = cut(scenario, site) if power else crash(scenario, site)
        if ended.failure:
            failures.append(Failure(scenario.name, site, ended.failure, ended.where))
        elif ended.state != calm.state:
            failures.append(Failure(scenario.name, site, f"it ends otherwise: {_difference(calm.state, ended.state)}", ""))
    return scenario.name, len(sites), len(tried), failures


def _difference(calm: dict[str, Any], crashed: dict[str, Any]) -> str:
    """What there is without the crash alone, and with it alone."""
    told = []
    for key, before in calm.items():
        after = crashed[key]
        lacking, further = [each for each in before if each not in after], [each for each in after if each not in before]
        if before != after:
            told.append(f"{key}: lacks {lacking[:2]}, has beyond {further[:2]}, {len(before)} became {len(after)}")
    return "; ".join(told)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crashes")
    parser.add_argument("--every", type=int, default=1, help="only every n-th place")
    parser.add_argument("--first", type=int, default=0, help="which of the n")
    parser.add_argument("--only", type=int, nargs="*", default=range(len(SCENARIOS)), help="these scenarios")
    parser.add_argument("--power", action="store_true", help="cut the power of devices, in place of killing processes")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    begun, places, through, failed = time.monotonic(), 0, 0, 0
    with ProcessPoolExecutor(given.processes) as pool:
        run = partial(run_scenario, every=given.every, first=given.first, power=given.power)
        for name, sites, tried, failures in pool.map(run, given.only):
            places, through, failed = places + sites, through + tried, failed + len(failures)
            print(f"{name}: {tried} of {sites} crashes, {len(failures)} failed", flush=True)
            for failure in failures[:5]:
                print(failure, flush=True)
    print(f"{through} of {places} crashes in {time.monotonic() - begun:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
