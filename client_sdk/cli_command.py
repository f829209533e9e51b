"""What every command of `roadbook device` has in common: the open client, the screen, JSON, errors and exit codes."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from client_sdk.cli_screen import Screen
from client_sdk.client import OrderClient
from client_sdk.errors import NotEnrolledError, RoadbookError
from client_sdk.wanted import WantedLine
from sync_protocol.rules.pricing.line_text import EXAMPLES, FORM, TypedLine, read_discount, read_line, read_unit_price

_REFUSED: Final = 1
_NOT_ENROLLED: Final = 3
_TRY_AGAIN: Final = 4


class Lines(NamedTuple):
    """Lines as they were typed, and why a price was given by hand."""

    typed: Sequence[TypedLine]
    reason: str


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


class LineArgument(click.ParamType[TypedLine]):
    """`SKU:QUANTITY`, or a SKU alone for one of it; perhaps with a pack, and a price or a discount by hand."""

    name = "SKU:QTY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TypedLine:
        line = value if isinstance(value, TypedLine) else read_line(str(value))
        return line or self.fail(f"{value!r} is not {FORM}, such as {EXAMPLES}", param, ctx)


class _Decimal(click.ParamType[int]):
    """A decimal that `read` understands."""

    name = "decimal"

    def __init__(self, read: Callable[[str], int | None], example: str) -> None:
        self._read, self._example = read, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = value if isinstance(value, int) else self._read(str(value))
        return number if number is not None else self.fail(f"{value!r} is not such as {self._example}", param, ctx)


PACK: Final = click.option("--pack", type=click.IntRange(1), metavar="N", help="Handled in packs of so many base units.")
_LINES: Final = (
    click.argument("lines", type=LineArgument(), nargs=-1, required=True, metavar="SKU:QTY..."),
    PACK,
    click.option("--discount", type=_Decimal(read_discount, "5% or 7.25"), metavar="PERCENT", help="Take so much off by hand."),
    click.option("--price", type=_Decimal(read_unit_price, "12.50"), metavar="AMOUNT", help="The unit price by hand."),
    click.option("--reason", default="", metavar="TEXT", help="Why a price is given by hand."),
)


def lines_argument(function: AsyncCommand) -> AsyncCommand:
    """The argument `SKU:QTY...` with what holds for each line that does not say it itself, handed on as `lines`."""

    @functools.wraps(function)
    async def run(
        *given: Any,
        lines: Sequence[TypedLine],
        pack: int | None = None,
        discount: int | None = None,
        price: int | None = None,
        reason: str = "",
        **others: Any,
    ) -> None:
        typed = [_completed(line, TypedLine("", 1, pack, price, discount)) for line in lines]
        await function(*given, lines=Lines(typed, reason), **others)

    command: AsyncCommand = run
    for option in reversed(_LINES):
        command = option(command)
    return command


def _completed(line: TypedLine, common: TypedLine) -> TypedLine:
    pack = line.pack_quantity or common.pack_quantity
    by_hand = line if line.is_by_hand else common
    return TypedLine(line.sku, line.quantity, pack, by_hand.unit_price, by_hand.discount_basis_points)


async def products_of(client: OrderClient, lines: Lines) -> list[WantedLine]:
    """The lines with their products by id. Raises UnknownRowError."""
    return [
        WantedLine((await client.product(line.sku)).id, line.quantity, line.pack_quantity or 1, line.manual(lines.reason))
        for line in lines.typed
    ]
