"""Bugs of serving devices of protocol 1 that the simulation must catch."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "draft", "foreign_write"), 0)
_OLD: Final = Swarm(steps=_CALM | {"order": 60, "sync": 60, "update_app": 10}, older_devices=2, length=15)
_AMENDED: Final = Swarm(steps=_CALM | {"order": 60, "amend": 60, "sync": 40}, older_devices=2, length=20)
_HANDED: Final = Swarm(steps=_CALM | {"hand_over": 60, "order": 60, "sync": 60}, older_devices=4, length=25)

OLDER_BUGS: Final = (
    PlantedBug(
        "rows of protocol 1 are said to have the columns of protocol 2",
        "every value stands one column off, or the page is refused for ever",
        "server.sync.chunks",
        "columns=columns(synced, protocol_version)",
        "columns=columns(synced, 2)",
        swarm=_OLD,
    ),
    PlantedBug(
        "an amendment of the first schema waits for an update",
        "what an old app saved is never decided",
        "server.sync.push",
        "envelope.schema_version <= _SCHEMA_VERSIONS.get(envelope.kind, 0)",
        "envelope.schema_version == _SCHEMA_VERSIONS.get(envelope.kind, 0)",
        swarm=_AMENDED,
    ),
    PlantedBug(
        "a device of protocol 1 is told codes that came later",
        "it has no words for what its user must know",
        "server.sync.push",
        "if protocol_version >= PROTOCOL_VERSION:",
        "if protocol_version >= 1:",
        swarm=_HANDED,
    ),
    PlantedBug(
        "a device of protocol 1 gets rows with codes that came later",
        "it has no words for why an order is held",
        "sync_protocol.wire.codec",
        "known = codes_told(protocol_version) if places else {}",
        "known = dict[str, str]()",
        swarm=_HANDED,
    ),
)
