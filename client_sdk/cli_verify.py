"""`roadbook device verify`: whether all that is here is what the server has, and what was put right."""

from client_sdk.cli_command import command
from client_sdk.cli_screen import Screen
from client_sdk.cli_text import counted, instant_text
from client_sdk.client import OrderClient


@command("roadbook device verify", "roadbook device verify --json")
async def verify(client: OrderClient, screen: Screen) -> None:
    """Sync, compare all that is here with the server's own rows, and fetch anew what differs."""
    found = await client.verify()
    if screen.as_json:
        screen.data(found)
        return
    held = f"{counted(found.rows, 'row')} in {counted(found.buckets, 'bucket')}"
    if found.is_equal:
        screen.say(f"Equal to the server as of {instant_text(found.as_of_ms)}: {held}, each computed anew.", "green")
        return
    for each in found.differing:
        screen.say(f"{each.bucket}, range {each.range}, was not as the server has it.", "yellow")
    repaired = f"{counted(found.repaired_ranges, 'range')} of {held} came anew"
    changed = ", ".join(f"{name} {count}" for name, count in sorted(found.changed.items()))
    screen.say(f"{repaired}, and all is equal as of {instant_text(found.as_of_ms)}. Rows that changed: {changed or 'none'}.")
