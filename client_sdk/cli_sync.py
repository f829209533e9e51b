"""The commands between the device and its server: enrol, sync, and what they leave behind."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from client_sdk.cli_command import Device, command
from client_sdk.cli_scope import begun_anew_text, removed_text, reported
from client_sdk.cli_screen import Screen
from client_sdk.cli_subjects import Subjects
from client_sdk.cli_text import counted, instant_text
from client_sdk.client import OrderClient
from client_sdk.errors import UnknownRowError
from client_sdk.events import DeviceRenewed, Event, ReplicaRebuilt, ScopeChanged, SyncProgress, SyncReport, VerdictArrived
from client_sdk.journal import JournalEntry
from client_sdk.status import DeviceStatus
from sync_protocol.verdicts import Code

_JOURNAL_MAX: Final = 10_000
_PHASES: Final = {"push": "sending", "image": "downloading", "pull": "receiving"}


@command(
    "roadbook device enrol http://127.0.0.1:8321 7K3M-92QF-XV0B",
    "roadbook device enrol https://orders.example.com 7K3M-92QF-XV0B --name Tablet",
)
@click.argument("server_url")
@click.argument("code")
@click.option("--name", default="command line", show_default=True, help="What the office calls this device.")
async def enrol(client: OrderClient, screen: Screen, server_url: str, code: str, name: str) -> None:
    """Make this file the device of a user: with the server's address and a single-use code of a manager."""
    identity = await client.enrol(server_url, code, name)
    if screen.as_json:
        screen.data(_without_token(await client.status()))
        return
    screen.say(f"This is now a device of {identity.user_name} ({identity.role}).")
    screen.say(f"Its orders are numbered {identity.number_prefix}-000001 and on. Next: roadbook device sync", "dim")


@command("roadbook device sync", "roadbook device sync --json")
async def sync(client: OrderClient, screen: Screen) -> None:
    """Send what waits, fetch what is new, and show the verdict of each order, line by line."""
    if screen.as_json:
        screen.data(await client.sync())
        return
    arrived: list[JournalEntry] = []
    scopes: list[ScopeChanged] = []
    causes: list[ReplicaRebuilt | DeviceRenewed] = []

    def keep(event: Event) -> None:
        if isinstance(event, VerdictArrived):
            arrived.append(event.entry)
        if isinstance(event, ScopeChanged):
            scopes.append(event)
        if isinstance(event, ReplicaRebuilt | DeviceRenewed):
            causes.append(event)

    subjects = Subjects(client)
    await subjects.remember()
    client.subscribe(keep)
    try:
        report = await _sync_with_progress(client, screen)
        causes[:0] = reported(report, causes)
    finally:
        for cause in causes:
            screen.say(begun_anew_text(cause), "yellow")
        # What arrived before a network broke is decided all the same.
        await subjects.show(screen, arrived)
        await _show_lost(client, screen, scopes)
    if report.deferred:
        screen.say(f"{counted(report.deferred, 'act')} could not be decided yet and will be sent again; see the outbox.", "yellow")
    in_image = f", {report.image_rows:,} of them in an image" if report.image_rows else ""
    screen.say(f"Received {counted(report.rows, 'row')}{in_image}; up to date as of {instant_text(report.as_of_ms)}.")
    if report.is_rebuilt:
        screen.say("Everything was fetched anew; orders and drafts were kept.")
    if report.repaired_rows:
        screen.say(f"Rows that were not as the server has them, and came anew: {report.repaired_rows:,}.", "yellow")


async def _show_lost(client: OrderClient, screen: Screen, scopes: Sequence[ScopeChanged]) -> None:
    """What was handed over, or taken from this user otherwise, and is not on this device any more."""
    for is_restored in (False, True):
        lost = [bucket for scope in scopes if scope.is_restored is is_restored for bucket in scope.lost]
        removed = removed_text(lost, is_restored=is_restored)
        if removed:
            waiting = (await client.status()).receipts_waiting
            told = "the receipts for it go with the next sync" if waiting else "the office has the receipts for it"
            screen.say(f"{removed}; {told}.", "yellow")


async def _sync_with_progress(client: OrderClient, screen: Screen) -> SyncReport:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen.console, disable=not screen.console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: SyncProgress) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = progress.add_task(_PHASES.get(step.phase, step.phase), total=None)
            # The expectation is an estimate: a bar that passes its own end would look broken.
            progress.update(tasks[step.phase], completed=step.done, total=max(step.expected, step.done) or None)

        return await client.sync(progress=show)


@command("roadbook device journal", "roadbook device journal R17-000005", "roadbook device journal --limit 5 --json", reads=True)
@click.argument("number", default="")
@click.option("--limit", type=click.IntRange(1, _JOURNAL_MAX), default=20, show_default=True, help="At most so many.")
async def journal(client: OrderClient, screen: Screen, *, number: str, limit: int) -> None:
    """List the verdicts that came back, newest first, each with what to do about it; of one order, with its lines as captured."""
    subject_id = await _subject_of(client, number) if number else None
    entries = await client.journal(limit=limit, subject_id=subject_id)
    if screen.as_json:
        screen.data(entries)
    elif number:
        await Subjects(client).show_with_lines(screen, entries)
    elif entries:
        await Subjects(client).show(screen, entries)
    else:
        screen.say("No verdicts yet: submit an order and sync.", "dim")


async def _subject_of(client: OrderClient, number: str) -> UUID:
    for entry in await client.journal(limit=_JOURNAL_MAX):
        given = (change.after for change in entry.verdict.changes if change.code is Code.NUMBER_CHANGED)
        if number in {entry.order_number, entry.quote_number, *given}:
            return entry.subject_id
    raise UnknownRowError("verdict of an order", number)


@command("roadbook device outbox", reads=True)
async def outbox(client: OrderClient, screen: Screen) -> None:
    """List what waits to be sent, oldest first."""
    waiting = await client.outbox()
    if screen.as_json:
        screen.data(waiting)
    else:
        screen.outbox(waiting)


@command("roadbook device status", "roadbook device status --json", reads=True)
async def status(client: OrderClient, screen: Screen) -> None:
    """Say whose device this is, how fresh what it holds is, and what waits to be sent."""
    now = _without_token(await client.status())
    opened = click.get_current_context().find_object(Device)
    if screen.as_json:
        screen.data(now)
    else:
        screen.status(now, str(opened.store) if opened else "")


def _without_token(now: DeviceStatus) -> DeviceStatus:
    """The status without the secret that would let another program be this device."""
    identity = msgspec.structs.replace(now.identity, token="") if now.identity else None
    return msgspec.structs.replace(now, identity=identity)
