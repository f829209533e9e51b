"""`roadbook imports`: what imports did."""

from operator import attrgetter
from uuid import UUID

import click
import msgspec

from server.identity.terminal import AS_JSON, run, show
from server.integration.history import ImportRun, Origin, QuarantinedRow, open_run, origin_of, quarantined, runs_of
from server.runtime.database import Database
from server.settings import Settings

_EXAMPLES = (
    "\b\nExamples:\n  roadbook imports list\n  roadbook imports quarantine --source our-erp --json\n"
    "  roadbook imports origin 99803e95-feef-8012-98a1-47ac6c5e2bb2"
)


@click.group("imports", epilog=_EXAMPLES)
def imports() -> None:
    """What imports did: runs, rows that are set aside, and where a row comes from."""


@imports.command("list", epilog="\b\nExample:\n  roadbook imports list --source our-erp")
@click.option("--source", help="Of one legacy system: the name that its mapping gives it.")
@AS_JSON
def list_command(*, source: str | None, as_json: bool) -> None:
    """List the latest runs. One that was stopped was killed or failed; running it again completes it."""

    async def work(database: Database, _settings: Settings) -> list[ImportRun]:
        async with database.read() as session:
            return await runs_of(session, source=source)

    columns = {
        "id": lambda each: each.id,
        "source": lambda each: each.source,
        "state": lambda each: each.state,
        "started": lambda each: each.started_at,
        "changed": lambda each: each.changed,
        "set aside": lambda each: each.set_aside,
    }
    show(run(work), columns, as_json=as_json)


@imports.command("show", epilog="\b\nExample:\n  roadbook imports show 019a6f3e-0c00-7000-8000-0000000000c8")
@click.argument("batch_id", metavar="ID", type=click.UUID)
def show_command(*, batch_id: UUID) -> None:
    """Print a run with its report, as JSON."""

    async def work(database: Database, _settings: Settings) -> ImportRun:
        async with database.read() as session:
            return await open_run(session, batch_id)

    click.echo(msgspec.json.format(msgspec.json.encode(run(work))))


@imports.command("quarantine", epilog="\b\nExample:\n  roadbook imports quarantine --source our-erp --json")
@click.option("--source", help="Of one legacy system.")
@click.option("--healed", is_flag=True, help="Those that were set aside once and are accepted, or gone, by now.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many at most.")
@AS_JSON
def quarantine_command(*, source: str | None, healed: bool, limit: int, as_json: bool) -> None:
    """List the rows that are set aside, each with its reason. A corrected file, imported again, heals them."""

    async def work(database: Database, _settings: Settings) -> list[QuarantinedRow]:
        async with database.read() as session:
            return list(await quarantined(session, source=source, healed=healed, limit=limit))

    columns = {
        "source": lambda each: each.source,
        "file": lambda each: each.file,
        "line": lambda each: each.line,
        "entity": lambda each: each.entity,
        "reason": lambda each: each.reason,
        "detail": lambda each: each.detail,
    }
    show(run(work), columns, as_json=as_json)


@imports.command("origin", epilog="\b\nExample:\n  roadbook imports origin 99803e95-feef-8012-98a1-47ac6c5e2bb2")
@click.argument("row_id", metavar="ID", type=click.UUID)
@AS_JSON
def origin_command(*, row_id: UUID, as_json: bool) -> None:
    """Say where a row comes from: the source, the file, the line, its key there, and the run that last found it changed."""

    async def work(database: Database, _settings: Settings) -> Origin:
        async with database.read() as session:
            return await origin_of(session, row_id)

    names = ("entity", "source", "file", "line", "key", "imported_at", "batch_id")
    show([run(work)], {name: attrgetter(name) for name in names}, as_json=as_json)
