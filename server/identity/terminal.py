"""What commands at the server's terminal share: the database that the environment names, and tables or JSON to look at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.table import Table

from server.changelog.log import seal_before_commit
from server.identity.option_names import in_options
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.runtime.instants import milliseconds
from server.settings import Settings, settings_from_environment
from sync_protocol.values import INSTANT_MAX

T = TypeVar("T")
OPERATOR_ID: Final = UUID(int=0)
"""Stands for whoever sits at the server's terminal, where a record names who acted."""

_ID_CHARACTERS: Final = 36
_PIPE_CHARACTERS_MAX: Final = 1_000
"""How wide a table may be where no terminal folds it."""

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url, before_commit=seal_before_commit, pool_size=1)
    try:
        yield database
    finally:
        await database.close()


def run(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    """Do something with the database that the environment names."""
    settings = settings_from_environment()

    async def in_loop() -> T:
        async with _opened(settings) as database:
            return await work(database, settings)

    with said_of_options():
        return asyncio.run(in_loop())


@contextmanager
def said_of_options() -> Iterator[None]:
    """What the API would say of fields is said of the options of the command that runs."""
    try:
        yield
    except ProblemError as error:
        raise click.ClickException(in_options(error, click.get_current_context())) from error


def now_ms() -> int:
    return SystemClock().now_ms()


def example_time() -> str:
    """The first of a month that is to come, as `--at` takes it: an example that is valid on the day on which it is read."""
    moment = datetime.fromtimestamp(now_ms() / 1000, UTC) + timedelta(days=32)
    return f"{moment:%Y-%m}-01T00:00:00+01:00"


def instant_of(text: str) -> int:
    """What `--at` says, as milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time such as {example_time()}", param_hint="--at") from error
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no offset from UTC; write it like {example_time()}", param_hint="--at")
    instant_ms = milliseconds(moment)
    if not 0 <= instant_ms <= INSTANT_MAX:
        raise click.BadParameter(f"{text!r} is not from 1970 to 9999; write it like {example_time()}", param_hint="--at")
    return instant_ms


def show(rows: Sequence[Any], columns: Mapping[str, Callable[[Any], object]], *, as_json: bool) -> None:
    """Rows as a table for people, or as JSON for programs."""
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    cells = [[read(row) for read in columns.values()] for row in rows]
    for place, title in enumerate(columns):
        # An id is typed into the next command: whatever else a narrow terminal folds, an id stays whole.
        is_id = any(isinstance(cell[place], UUID) for cell in cells)
        table.add_column(title, no_wrap=is_id, min_width=_ID_CHARACTERS if is_id else None)
    for row_cells in cells:
        table.add_row(*("" if cell is None else str(cell) for cell in row_cells))
    console = Console()
    if not console.is_terminal:
        console.width = max(1, console.measure(table, options=console.options.update(max_width=_PIPE_CHARACTERS_MAX)).maximum)
    console.print(table)
