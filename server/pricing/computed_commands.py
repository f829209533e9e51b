"""`roadbook price materialise`: compute price lists and floors now, as the job does by itself."""

from collections.abc import Callable
from typing import Final

import click
import msgspec

from server.identity.terminal import AS_JSON, run, show
from server.pricing.materialising import ListRun, Run, materialise
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.settings import Settings

EXAMPLE: Final = "roadbook price materialise --every"


def add_materialise(group: click.Group) -> None:
    """Put `materialise` among the commands about prices."""
    group.add_command(materialise_prices)


@click.command("materialise", epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.option("--every", is_flag=True, help="Compute everything, and not only what changed.")
@AS_JSON
def materialise_prices(*, every: bool, as_json: bool) -> None:
    """Compute the price lists that are made of others or of costs, and floors.

    Only what differs is written. Whoever stops it in the middle loses nothing: the next run goes on.
    """

    async def work(database: Database, _settings: Settings) -> Run:
        return await materialise(database, SystemClock(), every=every)

    found = run(work)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    columns: dict[str, Callable[[ListRun], object]] = {
        "list": lambda each: each.price_list_id,
        "made": lambda each: each.counts.made,
        "changed": lambda each: each.counts.changed,
        "removed": lambda each: each.counts.removed,
        "unchanged": lambda each: each.counts.unchanged,
        "left out": lambda each: each.counts.beyond,
        "note": _note,
    }
    show(found.lists, columns, as_json=False)
    floors = found.floors
    if floors is None:
        click.echo("floors: nothing changed")
    else:
        click.echo(f"floors: {floors.made} made, {floors.changed} changed, {floors.removed} removed, {floors.unchanged} unchanged")


def _note(each: ListRun) -> str:
    if each.problem is not None:
        return each.problem
    return "" if each.is_complete else "its rules were changed meanwhile; run it again"
