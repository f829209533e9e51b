"""`roadbook device follow`: a device that stays synced until it is interrupted, and says in words how that goes."""

import asyncio
from contextlib import suppress

from client_sdk.cli_command import command
from client_sdk.cli_scope import begun_anew_text, lost_text, removed_text
from client_sdk.cli_screen import Screen
from client_sdk.cli_text import counted, instant_text
from client_sdk.client import OrderClient
from client_sdk.errors import NotEnrolledError
from client_sdk.events import (
    CheckpointReached,
    DeviceRenewed,
    Event,
    IntentTooLarge,
    ReplicaDamaged,
    ReplicaDiffers,
    ReplicaRebuilt,
    ReplicaRepaired,
    ScopeChanged,
    SyncFailed,
    SyncResumed,
    SyncStalled,
    VerdictArrived,
)


@command("roadbook device follow", "roadbook device follow --json")
async def follow(client: OrderClient, screen: Screen) -> None:
    """Keep this device synced until Ctrl-C, by the server's hints, and send what other commands save within seconds."""
    # Ctrl-C cancels what runs here: it is how this command ends, and no failure.
    with suppress(asyncio.CancelledError):
        await _follow(client, screen)


async def _follow(client: OrderClient, screen: Screen) -> None:
    if (await client.status()).identity is None:
        raise NotEnrolledError  # an application may enrol later; nobody does at this prompt
    quiet = asyncio.Event()

    def tell(event: Event) -> None:
        text = event_text(event)
        if screen.as_json:
            screen.data({"event": type(event).__name__, "text": text})
        elif text:
            screen.say(
                text,
                "yellow" if isinstance(event, SyncFailed | SyncStalled | IntentTooLarge | ReplicaDamaged | ReplicaDiffers) else "",
            )

    stop = client.subscribe(tell)
    try:
        async with client.follow():
            await quiet.wait()  # for ever: Ctrl-C ends it, at any moment
    finally:
        stop()


def event_text(event: Event) -> str:  # noqa: PLR0911  # one sentence for each kind of event
    """What happened, for people; empty for what the screen need not say."""
    match event:
        case VerdictArrived(entry):
            return f"{entry.order_number or entry.kind}: {entry.verdict.outcome}"
        case CheckpointReached():
            changed = ", ".join(f"{entity} {count:,}" for entity, count in event.changed.items())
            return f"Up to date as of {instant_text(event.as_of_ms)}; changed: {changed or 'nothing'}."
        case ScopeChanged(_, lost, is_restored) if lost_text(lost):
            return f"{removed_text(lost, is_restored=is_restored)}."
        case ReplicaRebuilt() | DeviceRenewed():
            return begun_anew_text(event)
        case ReplicaRepaired():
            return f"{counted(sum(event.changed.values()), 'row')} were not as the server has them, and came anew."
        case ReplicaDamaged(cause):
            return f"What was synced is damaged ({cause}): all of it is fetched anew; orders and drafts are kept."
        case ReplicaDiffers(error):
            return f"{error}."
        case SyncFailed(error, wait, since_ms):
            return f"{error}. Next try in {wait:.0f} s; it fails since {instant_text(since_ms)}."
        case SyncStalled(error):
            return f"{error}."
        case SyncResumed(since_ms):
            return f"It syncs again, after it failed since {instant_text(since_ms)}."
        case IntentTooLarge(intent_id, detail):
            return f"The server does not take {intent_id}: {detail}. It is kept, and tried again in a day."
    return ""
