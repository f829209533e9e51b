"""`roadbook import`: a legacy system's files into the database, with progress and a report in which every row is accounted for."""

import asyncio
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from server.changelog.log import read_head, seal_before_commit
from server.integration.archives import as_folder
from server.integration.bulk import RefusedRowsError
from server.integration.explaining import ExplainedRow, explain_folder
from server.integration.importer import import_folder
from server.integration.mapping import Mapping, MappingError, load_mapping
from server.integration.refusals import SetAside
from server.integration.report import Report
from server.integration.tables import SourceError
from server.runtime.database import Database
from server.settings import settings_from_environment

MAPPINGS: Final = Path(__file__).parent / "mappings"
SAMPLES_SHOWN: Final = 10
FILE_WIDTH: Final = 140

OnProgress = Callable[[str, int, int], None]
OnSetAside = Callable[[SetAside], None]


def _print_schema(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Mapping))))
        context.exit()


@click.command(
    "import",
    epilog="\b\nExamples:\n  roadbook import ../shared/data/adventureworks\n"
    "  roadbook import exports/2026-11 --mapping our-erp.toml --dry-run --set-aside set-aside.csv\n"
    "  roadbook import exports/2026-11.zip --mapping our-erp.toml --explain",
)
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=MAPPINGS / "adventureworks.toml",
    help="What is what in the files.  [AdventureWorks]",
)
@click.option("--dry-run", is_flag=True, help="Do everything and write nothing.")
@click.option("--set-aside", type=click.Path(dir_okay=False, path_type=Path), help="Write each row that is set aside to this CSV.")
@click.option("--explain", is_flag=True, help="Show what each rule did to some rows; needs no database and writes nothing.")
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema, help="Print the mapping's JSON schema."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_command(*, folder: Path, mapping: Path, dry_run: bool, set_aside: Path | None, explain: bool, as_json: bool) -> None:
    """Bring the files of a legacy system into the database: those of a folder or of an archive.

    Running it again changes nothing; after a kill it completes what was begun. Exit code 1: a row is unaccounted for or a
    check does not hold. Rows that are set aside, each with its reason, are no failure.
    """
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    try:
        if explain:
            with as_folder(folder) as files:
                show_explained(explain_folder(files, load_mapping(mapping)), console, as_json=as_json)
            return
        with as_folder(folder) as files, _set_aside_file(set_aside) as on_set_aside, _bar(console) as on_progress:
            report = asyncio.run(_import(files, load_mapping(mapping), dry_run, on_progress, on_set_aside))
    except (MappingError, SourceError, RefusedRowsError) as error:
        hint = f"; the mapping {mapping.name} wants this file, --mapping names another" if _is_missing(error) else ""
        raise click.ClickException(f"{error}{hint}") from error
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        show(report, console)
    if not report.holds:
        raise click.ClickException("a row is unaccounted for, or a check does not hold; see the report")


def _is_missing(error: Exception) -> bool:
    """Whether the folder lacks a file that the mapping names."""
    return isinstance(error, SourceError) and isinstance(error.__cause__, FileNotFoundError)


async def _import(folder: Path, mapping: Mapping, dry_run: bool, on_progress: OnProgress, on_set_aside: OnSetAside) -> Report:
    settings = settings_from_environment()
    database = Database(settings.database_url, before_commit=seal_before_commit, pool_size=2)
    try:
        async with database.read() as session:
            # Where the database is absent or not migrated, it is said before a row is read.
            await read_head(session)
        return await import_folder(database, folder, mapping, dry_run=dry_run, on_progress=on_progress, on_set_aside=on_set_aside)
    finally:
        await database.close()


@contextmanager
def _bar(console: Console) -> Iterator[OnProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda label, done, total: progress.update(task, description=label, completed=done, total=total)


@contextmanager
def _set_aside_file(path: Path | None) -> Iterator[OnSetAside]:
    if path is None:
        yield lambda _row: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(SetAside.__struct_fields__)
        yield lambda row: writer.writerow([*msgspec.structs.astuple(row)[:-1], msgspec.json.encode(row.values).decode()])


def show(report: Report, console: Console) -> None:
    """The report as a person reads it."""
    console.print(f"[bold]{report.name}[/bold]{' (dry run: nothing was written)' if report.dry_run else ''}")
    console.print(_steps(report), _entities(report))
    if any(step.totals or step.groups for step in report.steps):
        console.print(_totals(report))
    console.print(_checks(report))
    for step in report.steps:
        for name, count in step.tally.items():
            console.print(f"{step.entity}: {count:,} {name}")
    _show_set_aside(report, console)
    if report.unread_files:
        console.print(f"[dim]files that no step reads: {', '.join(report.unread_files)}[/dim]")
    for file, columns in report.unread_columns.items():
        if columns:
            console.print(f"[dim]{file}: not read: {', '.join(columns)}[/dim]")


def _show_set_aside(report: Report, console: Console) -> None:
    for step in report.steps:
        for reason, count in step.set_aside.items():
            console.print(f"[yellow]set aside[/yellow] {step.file} → {step.entity}: {count:,} {reason}")
    samples = [row for step in report.steps for row in step.samples]
    for row in samples[:SAMPLES_SHOWN]:
        console.print(f"[yellow]set aside[/yellow] {row.file}, line {row.line}: {escape(row.detail)}", highlight=False)
    if report.set_aside > len(samples[:SAMPLES_SHOWN]):
        console.print(f"… {report.set_aside:,} rows are set aside; --set-aside FILE writes them all")


def show_explained(rows: list[ExplainedRow], console: Console, *, as_json: bool) -> None:
    """Rows with what each rule did to them, as a person reads it or as JSON."""
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    for row in rows:
        title = f"{row.file}, line {row.line} → {row.entity}: {row.fate}{f' ({row.detail})' if row.detail else ''}"
        table = _table(escape(title), ("field", "rule", "read", "becomes"), ())
        for each in row.fields:
            read = ", ".join(f"{column} {text!r}" for column, text in each.read.items())
            value = "" if each.value is None else str(each.value)
            table.add_row(*(escape(text) for text in (each.field, each.rule, read, each.fault or value)))
        console.print(table)
        console.print()


def _table(title: str, text: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in text:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _steps(report: Report) -> Table:
    table = _table("Rows", ("file", "becomes"), ("read", "accepted", "merged", "not selected", "set aside"))
    for step in report.steps:
        figures = (step.read, step.accepted, step.merged, step.not_selected, sum(step.set_aside.values()))
        table.add_row(step.file, step.entity, *(f"{figure:,}" for figure in figures))
    return table


def _entities(report: Report) -> Table:
    table = _table("Database", ("entity",), ("inserted", "updated", "unchanged"))
    for entity, counts in report.counts.items():
        table.add_row(entity, f"{counts.inserted:,}", f"{counts.updated:,}", f"{counts.unchanged:,}")
    return table


def _totals(report: Report) -> Table:
    numbers = ("source", "imported", "difference by rounding", "largest of one")
    table = _table("Money, exact", ("of", "what"), numbers)
    for step in report.steps:
        named = dict(step.totals)
        if step.groups is not None:
            named["lines against the source's total"] = step.groups
        for name, total in named.items():
            table.add_row(
                step.entity,
                name,
                *(f"{each:,f}" for each in (total.source, total.imported)),
                f"{total.difference:f}",
                f"{total.largest:f}",
            )
    return table


def _checks(report: Report) -> Table:
    table = _table("Checks in the database", ("check", "found", ""), ())
    for check in report.checks:
        table.add_row(check.name, check.found, "[green]holds[/green]" if check.holds else "[red]does not hold[/red]")
    return table
