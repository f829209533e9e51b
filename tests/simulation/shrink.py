"""Make a failing plan smaller for as long as the same invariant breaks: steps out, faults out, a good network, fewer devices."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tests.simulation.plan import Plan
from tests.simulation.run import Outcome, run_plan

RUNS_MAX: Final = 150


def shrink(plan: Plan, outcome: Outcome, runs_max: int = RUNS_MAX) -> tuple[Plan, Outcome]:
    """A plan from which nothing more can be taken, within so many runs, and what becomes of it."""
    runs = 0
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(plan):
            if runs >= runs_max:
                return plan, outcome
            runs += 1
            tried = run_plan(smaller)
            if tried.violation and tried.invariant == outcome.invariant:
                plan, outcome, progress = smaller, tried, True
                break
    return plan, outcome


def _smaller(plan: Plan) -> Iterator[Plan]:
    """What may be left out, the most at once first."""
    steps = plan.steps
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield msgspec.structs.replace(plan, steps=steps[:start] + steps[start + size :])
        size //= 2
    if plan.rates:
        yield msgspec.structs.replace(plan, rates={})
        for fault in plan.rates:
            yield msgspec.structs.replace(plan, rates={each: rate for each, rate in plan.rates.items() if each != fault})
    if plan.statements_are_slow:
        yield msgspec.structs.replace(plan, statements_are_slow=False)
    if plan.poison_rate:
        yield msgspec.structs.replace(plan, poison_rate=0.0)
    if plan.page_rows < 50_000:
        yield msgspec.structs.replace(plan, page_rows=50_000)
    if plan.devices > 1:
        yield msgspec.structs.replace(plan, devices=plan.devices - 1)


def told(plan: Plan, outcome: Outcome) -> str:
    """A failure for whoever must find its cause."""
    steps = "\n".join(f"  {step.at_ms:>12} ms  {step.kind} (device {step.device})" for step in plan.steps)
    return (
        f"seed {plan.seed} breaks {outcome.violation}\n"
        f"again: .venv/bin/python -m tests.simulation --seed {plan.seed}\n"
        f"shrunk to {plan.devices} devices, {len(plan.steps)} steps, network faults {plan.rates or 'none'}:\n"
        f"{steps}\n{outcome.where}"
    )
