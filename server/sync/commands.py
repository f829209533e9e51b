"""`roadbook quarantine …`: what devices of leavers still sent, at the server's terminal."""

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

import click

from server.identity.service import id_of_code
from server.identity.terminal import AS_JSON, OPERATOR_ID, now_ms, run, show
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database
from server.settings import Settings
from server.sync.push import Handlers
from server.sync.quarantine_decisions import discard, list_quarantine, release
from server.sync.quarantine_routes import QuarantinedIntent, ReleasedIntent


class HandlersOf(Protocol):
    """Who decides each intent: only the application knows every slice."""

    def __call__(self) -> Handlers: ...


@click.group(
    epilog="\b\nExamples:\n  roadbook quarantine list\n"
    "  roadbook quarantine release 01a20197-2d5b-7c19-88ae-f62dff50c45c --as-rep R-08 --reason 'agreed with the customer'"
)
def quarantine() -> None:
    """What devices of users who left still sent: list, release, discard."""


@quarantine.command("list", epilog="\b\nExample:\n  roadbook quarantine list --decided --json")
@click.option("--decided", is_flag=True, help="What was decided too.")
@AS_JSON
def show_quarantine(*, decided: bool, as_json: bool) -> None:
    """List what waits for a decision."""

    async def work(database: Database, _settings: Settings) -> list[QuarantinedIntent]:
        found: list[QuarantinedIntent] = []
        async with database.read() as session:
            while page := await list_quarantine(session, decided_too=decided, after_id=found[-1].id if found else None):
                found += [QuarantinedIntent.of(each) for each in page]
        return found

    columns: dict[str, Callable[[QuarantinedIntent], object]] = {
        "user": lambda intent: intent.user_name,
        "device": lambda intent: intent.device_name,
        "what": lambda intent: intent.kind,
        "number": lambda intent: intent.asked.get("number") if isinstance(intent.asked, dict) else None,
        "customer": lambda intent: intent.customer_code,
        "captured": lambda intent: intent.captured_at,
        "state": lambda intent: intent.state,
        "id": lambda intent: intent.id,
    }
    show(run(work), columns, as_json=as_json)


@quarantine.command(
    "discard", epilog="\b\nExample:\n  roadbook quarantine discard 01a20197-2d5b-7c19-88ae-f62dff50c45c --reason fraud"
)
@click.argument("intent_ids", metavar="INTENT_ID...", type=click.UUID, nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it is kept, and told to the device if it sends them again.")
def discard_intents(*, intent_ids: tuple[UUID, ...], reason: str) -> None:
    """Reject the intents INTENT_ID for good."""

    async def work(database: Database, _settings: Settings) -> None:
        async with database.write() as session:
            await discard(session, intent_ids, reason=reason, user_id=OPERATOR_ID, now_ms=now_ms())

    run(work)
    click.echo(f"{len(intent_ids)} discarded")


def release_command(handlers_of: HandlersOf) -> click.Command:
    """`roadbook quarantine release`, for the one module that knows every handler."""

    @click.command(
        "release",
        epilog="\b\nExample:\n  roadbook quarantine release 01a20197-2d5b-7c19-88ae-f62dff50c45c --as-rep R-08 --reason agreed",
    )
    @click.argument("intent_ids", metavar="INTENT_ID...", type=click.UUID, nargs=-1, required=True)
    @click.option("--as-rep", "rep_id", required=True, metavar="CODE", help="The rep as whose they are decided.")
    @click.option("--reason", required=True, help="Why; it is kept for the record.")
    @AS_JSON
    def release_intents(*, intent_ids: tuple[UUID, ...], rep_id: str, reason: str, as_json: bool) -> None:
        """Decide the intents INTENT_ID, in the order in which they came, as if the rep had asked."""

        async def work(database: Database, _settings: Settings) -> list[ReleasedIntent]:
            async with database.write() as session:
                results = await release(
                    session,
                    intent_ids,
                    rep_id=await id_of_code(session, "rep", rep_id, field="rep_id"),
                    reason=reason,
                    user_id=OPERATOR_ID,
                    handlers=handlers_of(),
                    ids=IdSource(SystemClock()),
                    now_ms=now_ms(),
                )
            return [ReleasedIntent.of(result) for result in results]

        columns: dict[str, Callable[[ReleasedIntent], object]] = {
            "id": lambda intent: intent.id,
            "outcome": lambda intent: intent.outcome or "not decided",
            "codes": lambda intent: ", ".join(intent.codes),
            "detail": lambda intent: intent.detail,
        }
        show(run(work), columns, as_json=as_json)

    released: Any = release_intents
    assert isinstance(released, click.Command)
    return released
