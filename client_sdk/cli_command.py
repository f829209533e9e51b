"""What every command of `roadbook device` has in common: the open client, the screen, JSON, errors and exit codes."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import click

from client_sdk.cli_screen import Screen
from client_sdk.client import OrderClient
from client_sdk.errors import NotEnrolledError, RoadbookError

_REFUSED: Final = 1
_NOT_ENROLLED: Final = 3
_TRY_AGAIN: Final = 4

Lines = Sequence[tuple[str, int]]
"""SKUs with quantities in base units, as they were typed."""

AsyncCommand = Callable[..., Awaitable[None]]


class Device(NamedTuple):
    """The device that the options of `roadbook device` name."""

    store: Path
    time_zone: str


class DeviceCommandError(click.ClickException):
    """An error of the library, as the command line ends with it."""

    def __init__(self, error: RoadbookError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # Click reads it; here it follows from the error
        if isinstance(self.error, NotEnrolledError):
            return _NOT_ENROLLED
        return _TRY_AGAIN if self.error.retry else _REFUSED


def examples(*lines: str) -> str:
    """Examples as the end of a help page."""
    return "\b\n" + "\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


def command(*shown: str, reads: bool = False) -> Callable[[AsyncCommand], click.Command]:
    """Make a command of an asynchronous function: it gets the open client and the screen before its own arguments.

    One that `reads` and saves nothing answers on a full disk, too.
    """

    def make(function: AsyncCommand) -> click.Command:
        @functools.wraps(function)
        def run(*, as_json: bool, **arguments: Any) -> None:
            opened = click.get_current_context().find_object(Device)
            assert opened is not None
            asyncio.run(_act(opened, functools.partial(function, **arguments), Screen(as_json=as_json), reads=reads))

        with_json = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON value.")(run)
        return click.command(epilog=examples(*shown))(with_json)

    return make


async def _act(opened: Device, function: AsyncCommand, screen: Screen, *, reads: bool) -> None:
    try:
        async with await OrderClient.open(opened.store, time_zone=opened.time_zone, reads_anyway=reads) as client:
            await function(client, screen)
    except RoadbookError as error:
        raise DeviceCommandError(error) from error


class LineArgument(click.ParamType[tuple[str, int]]):
    """`SKU:QUANTITY`, or a SKU alone for one of it."""

    name = "SKU:QTY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        sku, colon, quantity = str(value).rpartition(":")
        if not colon:
            return str(value), 1
        if not sku or not (quantity.isascii() and quantity.isdecimal()) or int(quantity) < 1:
            self.fail(f"{value!r} is not SKU:QUANTITY, such as P130-04:10", param, ctx)
        return sku, int(quantity)


def lines_argument(function: AsyncCommand) -> AsyncCommand:
    """The argument `SKU:QTY...`, handed on as `lines`."""
    return click.argument("lines", type=LineArgument(), nargs=-1, required=True, metavar="SKU:QTY...")(function)


async def products_of(client: OrderClient, lines: Lines) -> list[tuple[UUID, int]]:
    """The lines' products by id. Raises UnknownRowError."""
    return [((await client.product(sku)).id, quantity) for sku, quantity in lines]
