"""`roadbook handovers …`: what a manager does with handovers, at the server's terminal."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import click
import msgspec

from server.customers.handover import DAYS_AHEAD_MAX, Asked, HandoverState, LateOrders, check_move, plan
from server.customers.handover_answers import ConcernedDevice, DeviceAcknowledgement, Handover, HandoverDetail, HandoverPreview
from server.customers.handover_execution import execute
from server.customers.handover_preview import Worth, preview
from server.customers.handover_progress import cancel, list_handovers, open_handover
from server.identity.service import id_of_code
from server.identity.terminal import AS_JSON, OPERATOR_ID, example_time, instant_of, now_ms, run, show
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database, ReadSession
from server.settings import Settings
from sync_protocol.values import amount_text

Command = Callable[..., Any]

_WHAT: Final = (
    click.option("--customer", "customer_ids", multiple=True, metavar="CODE", help="A customer that moves; as often as needed."),
    click.option(
        "--territory",
        "territory_id",
        metavar="CODE",
        help="All customers of this territory, or with --to-rep the territory itself.",
    ),
    click.option("--to-territory", "to_territory_id", metavar="CODE", help="Where the customers go."),
    click.option("--to-rep", "to_rep_id", metavar="CODE", help="Who works the territory from then on."),
    click.option("--from-rep", "from_rep_id", metavar="CODE", help="Who worked it, where several do."),
)


def _what_moves(command: Command) -> Command:
    for option in reversed(_WHAT):
        command = option(command)
    return command


async def _asked(session: ReadSession, customers: Sequence[str], **codes: str | None) -> Asked:
    """What the codes of the options name."""
    tables = {"territory_id": "territory", "to_territory_id": "territory", "to_rep_id": "rep", "from_rep_id": "rep"}
    found = {
        field: await id_of_code(session, tables[field], code, field=field) for field, code in codes.items() if code is not None
    }
    listed = [await id_of_code(session, "customer", code, field="customer_ids") for code in customers]
    return Asked(customer_ids=tuple(listed), **found)


@click.group(
    epilog="\b\nExamples:\n  roadbook handovers preview --territory N --to-rep R-08\n"
    "  roadbook handovers create --customer C-1001 --to-territory S --late-orders route"
)
def handovers() -> None:
    """Hand customers or territories over: preview, create, list, show who has acknowledged, cancel."""


@handovers.command("preview", epilog="\b\nExample:\n  roadbook handovers preview --customer C-1001 --to-territory S")
@_what_moves
@AS_JSON
def preview_handover(*, customer_ids: tuple[str, ...], as_json: bool, **codes: str | None) -> None:
    """Say what a handover would do now; nothing is changed."""

    async def work(database: Database, _settings: Settings) -> HandoverPreview:
        async with database.read() as session:
            return HandoverPreview.of(
                await preview(session, await check_move(session, await _asked(session, customer_ids, **codes)))
            )

    found = run(work)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        f"{_customers(found.customers)} to move; open orders: {_worth(found.open_orders)}; held: {_worth(found.held_orders)}"
    )
    click.echo(
        f"{found.intents_reported} intents waited on devices that lose customers when they reported last; "
        f"{found.devices_silent} of these devices never reported. What is newer is known when they sync."
    )
    columns: dict[str, Callable[[ConcernedDevice], object]] = {
        "device": lambda device: device.name,
        "user": lambda device: device.user_login,
        "rep": lambda device: device.rep_code,
        "loses": lambda device: device.loses,
        "gains": lambda device: device.gains,
        "last seen": lambda device: device.last_seen_at or "never",
        "waits": lambda device: device.outbox_count,
    }
    show(found.devices, columns, as_json=False)


def _worth(worth: Worth) -> str:
    """A number of orders and their totals, each in its currency."""
    totals = ", ".join(amount_text(total, currency) for currency, total in worth.total_minor.items())
    return f"{worth.orders} ({totals})" if totals else str(worth.orders)


def _customers(count: int) -> str:
    return "1 customer" if count == 1 else f"{count} customers"


@handovers.command(
    "create",
    epilog="\b\nExamples:\n  roadbook handovers create --territory N --to-rep R-08 --late-orders route\n"
    f"  roadbook handovers create --customer C-1001 --to-territory S --late-orders refuse --at {example_time()}",
)
@_what_moves
@click.option(
    "--late-orders",
    required=True,
    type=click.Choice([str(each) for each in LateOrders]),
    help="What becomes of orders that the old rep captures after it.",
)
@click.option(
    "--at", "effective_at", metavar="TIME", help=f"When, in ISO 8601 with an offset, at most {DAYS_AHEAD_MAX} days ahead.  [now]"
)
@click.option("--note", default="", help="Why, for the record.")
@AS_JSON
def create_handover(
    *,
    customer_ids: tuple[str, ...],
    late_orders: str,
    effective_at: str | None,
    note: str,
    as_json: bool,
    **codes: str | None,
) -> None:
    """Hand customers or a territory over, now or at a later instant."""
    effective_at_ms = instant_of(effective_at) if effective_at is not None else None

    async def work(database: Database, _settings: Settings) -> HandoverDetail:
        at_ms = now_ms()
        async with database.write() as session:
            handover = await plan(
                session,
                await check_move(session, await _asked(session, customer_ids, **codes)),
                late_orders=LateOrders(late_orders),
                note=note,
                effective_at_ms=effective_at_ms,
                user_id=OPERATOR_ID,
                ids=IdSource(SystemClock()),
                now_ms=at_ms,
            )
            if handover.effective_at_ms <= at_ms:
                await execute(session, handover.id, at_ms)
        return await _opened(database, handover.id)

    _show_detail(run(work), as_json=as_json)


async def _opened(database: Database, handover_id: UUID) -> HandoverDetail:
    async with database.read() as session:
        return HandoverDetail.of(await open_handover(session, handover_id))


@handovers.command("list", epilog="\b\nExample:\n  roadbook handovers list --state planned --json")
@click.option("--state", type=click.Choice([str(each) for each in HandoverState]), help="Only those in this state.")
@AS_JSON
def show_handovers(*, state: str | None, as_json: bool) -> None:
    """List handovers, the latest first."""

    async def work(database: Database, _settings: Settings) -> list[Handover]:
        found: list[Handover] = []
        wanted = HandoverState(state) if state else None
        async with database.read() as session:
            while page := await list_handovers(session, state=wanted, before_id=found[-1].id if found else None):
                found += [Handover.of(each) for each in page]
        return found

    columns: dict[str, Callable[[Handover], object]] = {
        "id": lambda handover: handover.id,
        "state": lambda handover: handover.state,
        "what": lambda handover: handover.kind,
        "customers": lambda handover: handover.customers,
        "effective": lambda handover: handover.effective_at,
        "late orders": lambda handover: handover.late_orders,
        "note": lambda handover: handover.note,
    }
    show(run(work), columns, as_json=as_json)


@handovers.command("show", epilog="\b\nExample:\n  roadbook handovers show 01a20197-2d5b-7c19-88ae-f62dff50c45c")
@click.argument("handover_id", type=click.UUID)
@AS_JSON
def show_handover(*, handover_id: UUID, as_json: bool) -> None:
    """Show the handover HANDOVER_ID: which devices have acknowledged it, and which were not seen since."""
    _show_detail(run(lambda database, _settings: _opened(database, handover_id)), as_json=as_json)


@handovers.command(
    "cancel", epilog="\b\nExample:\n  roadbook handovers cancel 01a20197-2d5b-7c19-88ae-f62dff50c45c --reason 'she stays'"
)
@click.argument("handover_id", type=click.UUID)
@click.option("--reason", default="", help="Why, for the record.")
@AS_JSON
def cancel_handover(*, handover_id: UUID, reason: str, as_json: bool) -> None:
    """Cancel the handover HANDOVER_ID while it is still to come."""

    async def work(database: Database, _settings: Settings) -> HandoverDetail:
        async with database.write() as session:
            await cancel(session, handover_id, user_id=OPERATOR_ID, reason=reason, now_ms=now_ms())
        return await _opened(database, handover_id)

    _show_detail(run(work), as_json=as_json)


def _show_detail(found: HandoverDetail, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    handover = found.handover
    when = handover.ended_at or handover.effective_at
    click.echo(f"handover {handover.id} is {handover.state} ({when}): {_customers(handover.customers)}")
    columns: dict[str, Callable[[DeviceAcknowledgement], object]] = {
        "device": lambda device: device.name,
        "user": lambda device: device.user_login,
        "rep": lambda device: device.rep_code,
        "seen since": lambda device: "yes" if device.seen_since else "no",
        "must purge": lambda device: device.expected,
        "purged": lambda device: device.purged,
        "rows": lambda device: device.rows_purged,
        "holds none": lambda device: device.clear,
        "came back": lambda device: device.returned,
        "waiting": lambda device: device.waiting,
    }
    if found.devices:
        show(found.devices, columns, as_json=False)
