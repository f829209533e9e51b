"""Bugs of a restore by hand that the simulation must catch: who finds out that the server has another past, and when."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "look", "draft", "prospect"), 0)
"""What only gets into the way of the few things that a bug needs."""
_BY_HAND: Final = Swarm(steps=_CALM | {"server_backup": 20, "hand_restore": 20, "order": 60, "sync": 60}, length=20)
_LOST_PULLS: Final = Swarm(steps=_BY_HAND.steps, length=20, rates={"lost_reply": 0.25})

RESTORE_BUGS: Final = (
    PlantedBug(
        "the server takes every past for its own",
        "orders that a device was told of are gone, and nobody hears of it",
        "server.sync.histories",
        "for place in known if place.epoch == head.epoch]",
        "for place in known if place.epoch == head.epoch and place.commit_seq >= head.head]",
        swarm=_BY_HAND,
    ),
    PlantedBug(
        "a push is taken whatever the device knows",
        "it goes on from a place of the new log, and never offers again what was lost in the old one",
        "server.sync.push",
        " or not await is_of_this_past(reader, head, request.known)",
        "",
        swarm=_BY_HAND,
    ),
    PlantedBug(
        "a device does not keep the place of its verdicts",
        "a server that lost them, but nothing that the replica holds, passes for the same",
        "client_sdk.engine",
        "note_decided(connection, reply.epoch, reply.head, request.known)",
        "note_decided(connection, reply.epoch, None, request.known)",
        swarm=_LOST_PULLS,
    ),
    PlantedBug(
        "a device does not keep the place of its checkpoint",
        "its replica stays one of the past",
        "client_sdk.replica",
        "        known=staging.known,\n    )",
        "    )",
        swarm=_BY_HAND,
    ),
)
