"""`python -m benchmarks [name …]`: measure the budgets and print one table."""

import server  # noqa: F401  # first of all, so that its SQLite takes the place of the standard library's

# isort: split
import gc
import json
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, machine
from benchmarks.premises import premises
from benchmarks.standard_work import StandardWork

BUDGETS: Final = (
    "first_sync",
    "server_memory",
    "delta",
    "propagation",
    "push",
    "drain",
    "order_entry",
    "search",
    "integrity",
    "capture",
    "convergence",
    "listeners",
    "images",
    "pricing",
    "importing",
)
ENGINES: Final = ("sqlite", "postgresql")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BUDGETS))
@click.option("--engine", "engines", multiple=True, type=click.Choice(ENGINES), help="Only this engine; both where it is left out.")
@click.option("--scale", type=click.FloatRange(0.002, 1), default=1.0, help="How much of the standard work.", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to this file, too.")
def main(names: tuple[str, ...], engines: tuple[str, ...], scale: float, json_path: Path | None) -> None:
    """Measure budgets against physical limits of this machine; all of them where none is named."""
    console = Console()
    console = console if console.is_terminal else Console(width=170)
    work, figures = StandardWork(scale), list[Figure]()
    _ = work.products, work.customers
    modules = {name: import_module(f"benchmarks.{name}") for name in BUDGETS if name in (names or BUDGETS)}
    # What is here already is not looked through again by the collector in the middle of a measurement.
    gc.collect()
    gc.freeze()
    try:
        for engine in engines or ENGINES:
            figures.extend(_measured(engine, modules, work, console))
    finally:  # what was measured before something failed took minutes
        console.print(as_table(figures, scale))
        if json_path is not None:
            json_path.write_text(json.dumps(_as_json(figures, scale), indent=2) + "\n")


def _measured(engine: str, modules: dict[str, ModuleType], work: StandardWork, console: Console) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="roadbook-bench-", ignore_cleanup_errors=True) as folder:
        console.print(f"[dim]{engine}: loading the standard work …[/dim]")
        with premises(engine, Path(folder), work) as place:
            for name, module in modules.items():
                console.print(f"[dim]{engine}: {name} …[/dim]")
                yield from module.run(place)


def as_table(figures: list[Figure], scale: float) -> Table:
    """The figures for people."""
    table = Table(title=f"Roadbook on {machine()}; {scale:g} of the standard work", title_justify="left", show_lines=True)
    table.add_column("budget", ratio=1)
    for column in ("engine", "figure", "aim", "physical limit,\nsame run", "times\nthe limit", "budget", "", "others'\ncores"):
        table.add_column(column, no_wrap=True)
    for each in figures:
        sign = "≥" if each.more_is_better else "≤"
        table.add_row(
            f"[bold]{each.budget}[/bold]\n{each.what}" + (f"\n[dim]{each.note}[/dim]" if each.note else ""),
            each.engine,
            f"{_number(each.value)} {each.unit}",
            f"{sign} {_number(each.aim)}",
            f"{_number(each.limit)} {each.limit_unit}\n[dim]{each.limit_what}[/dim]",
            f"{_number(each.cost)}",
            f"≤ {_number(each.cost_max)}",
            "[green]ok[/green]" if each.is_within else "[red]over[/red]",
            f"{each.foreign_cores:.1f}",
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _as_json(figures: list[Figure], scale: float) -> dict[str, Any]:
    found = [{**msgspec.structs.asdict(each), "cost": each.cost, "is_within": each.is_within} for each in figures]
    return {"machine": machine(), "scale": scale, "figures": found}


if __name__ == "__main__":
    main()
