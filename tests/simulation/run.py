"""Run a seed, or a plan: the same plan gives the same trace (I-9)."""

import gc
import logging
import traceback
from collections import Counter
from functools import cache

import msgspec

from tests.simulation.acts import take
from tests.simulation.loop import run_virtually
from tests.simulation.plan import Plan, Swarm, draw
from tests.simulation.server import warm_up
from tests.simulation.template import template
from tests.simulation.world import SimulatedWorld


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a run. `violation` is empty where everything held; `where` is for whoever reads the failure."""

    seed: int
    trace: str
    violation: str
    where: str
    seen: Counter[str]
    requests: int
    commits: int
    lines: list[str] | None = None

    @property
    def invariant(self) -> str:
        """The number of the invariant that broke, or the kind of the error."""
        return self.violation.partition(":")[0]


def run_seed(seed: int, swarm: Swarm | None = None, *, keep_trace: bool = False) -> Outcome:
    return run_plan(draw(seed, swarm), keep_trace=keep_trace)


def run_plan(plan: Plan, *, keep_trace: bool = False) -> Outcome:
    """Run it to its end, or to the first thing that does not hold."""
    prepare()
    logging.disable(logging.CRITICAL)  # the server logs each planted failure with its traceback
    gc.disable()  # a run makes little garbage in cycles, and looking for it takes a tenth of the time
    try:
        return run_virtually(_run(plan, keep_trace=keep_trace))
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


@cache
def prepare() -> None:
    """What is made once in a process, outside of any loop."""
    made = template()
    run_virtually(warm_up(made.folder / "server.db", lambda: 0))


def prepare_anew() -> None:
    """Make again what is made once in a process: the code that makes it is another."""
    template.cache_clear()
    prepare.cache_clear()


async def _run(plan: Plan, *, keep_trace: bool) -> Outcome:
    world = SimulatedWorld(plan, keep_trace=keep_trace)
    violation, where = "", ""
    try:
        await world.run(take)
    except Exception as error:  # noqa: BLE001  # whatever ends a run is its outcome
        found = world.trace.violation or error
        violation = str(found) if isinstance(found, AssertionError) else f"{type(found).__name__}: {found}"
        where = "".join(traceback.format_exception(found))
    finally:
        await world.close()
    return Outcome(
        seed=plan.seed,
        trace=world.trace.digest(),
        violation=violation,
        where=where,
        seen=world.trace.seen,
        requests=sum(handset.network.requests for handset in world.handsets),
        commits=world.server.history.commits,
        lines=world.trace.lines,
    )
