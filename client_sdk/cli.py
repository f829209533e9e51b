"""`roadbook device …`: act as the app on a rep's tablet, from a terminal. It uses nothing but `OrderClient`."""

import sys
from pathlib import Path
from typing import Final, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from client_sdk.cli_catalog import customers, price, prospect, search, stock
from client_sdk.cli_command import Device, examples
from client_sdk.cli_follow import follow
from client_sdk.cli_orders import amend, cancel, drafts, mend, order, orders
from client_sdk.cli_quotes import quote
from client_sdk.cli_sync import enrol, journal, outbox, status, sync
from client_sdk.cli_verify import verify

COMMANDS: Final = (
    enrol,
    sync,
    follow,
    verify,
    search,
    customers,
    price,
    stock,
    order,
    orders,
    amend,
    cancel,
    mend,
    drafts,
    quote,
    prospect,
    status,
    outbox,
    journal,
)


def _known_zone(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """A zone that this machine knows; the server knows the same."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"{name!r} is no IANA time zone, such as Europe/Amsterdam") from error


class DeviceCommands(click.Group):
    """The commands of a device."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what the terminal could not tell as text, before it is taken for a name."""
        for given in args:
            if not given.isprintable() and any("\ud800" <= character <= "\udfff" for character in given):
                raise click.UsageError(f"{given.encode('utf-8', 'replace').decode()!r} is not valid UTF-8: type it again", ctx)
        return super().parse_args(ctx, args)


@click.group(
    cls=DeviceCommands,
    epilog=examples(
        "export ROADBOOK_DEVICE_STORE=femke.db",
        "roadbook device enrol http://127.0.0.1:8321 7K3M-92QF-XV0B --name 'Tablet of Femke'",
        "roadbook device sync",
        "roadbook device search 'press elbow 22'",
        "roadbook device order RAN-001 P130-04:10 --po PO4711",
    ),
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="ROADBOOK_DEVICE_STORE",
    default=Path("roadbook-device.db"),
    show_default=True,
    show_envvar=True,
    help="The device's file; it is made where there is none.",
)
@click.option(
    "--time-zone",
    callback=_known_zone,
    envvar="ROADBOOK_DEVICE_TIME_ZONE",
    default="UTC",
    show_default=True,
    show_envvar=True,
    help="Where orders are captured, such as Europe/Amsterdam.",
)
@click.pass_context
def device(context: click.Context, store: Path, time_zone: str) -> None:
    """Act as the app on a rep's device.

    The device is one file. Every command works without a network, except enrol, sync, follow and verify.

    Exit codes: 0 done; 1 refused, and the message says what to do; 2 not understood; 3 not enrolled yet; 4 no answer:
    try again later, nothing is lost.
    """
    context.obj = Device(store, time_zone)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_write(stream)


def _never_fail_to_write(stream: TextIO) -> None:
    """A terminal that cannot show an arrow shows a question mark: that is no reason to fail."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


for each in COMMANDS:
    device.add_command(each)
