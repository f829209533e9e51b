"""Bugs of the comparison of sums and of the repair by ranges, which would otherwise heal themselves or each other in silence."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "draft", "foreign_write"), 0)
_DAMAGED: Final = Swarm(steps=_CALM | {"damage": 60, "sync": 60, "price": 20}, length=20)
_BUSY: Final = Swarm(steps=_CALM | {"damage": 60, "sync": 60, "stock": 60, "price": 60}, rates={"slow": 0.3}, length=30)
_CHANGED: Final = Swarm(steps=_CALM | {"delete_contact": 20, "price": 60, "move_contact": 20, "sync": 60}, length=20)
_SPOILED: Final = Swarm(steps=_CALM | {"spoil_sum": 40, "sync": 60}, length=15)

REPAIR_BUGS: Final = (
    PlantedBug(
        "a repair keeps what is made up",
        "a row that the server never had stays",
        "client_sdk.repairing",
        "for each in {*here, *there} if here.get(each)",
        "for each in there if here.get(each)",
        swarm=_DAMAGED,
    ),
    PlantedBug(
        "a repair brings back nothing that was lost",
        "a row that the server has stays away",
        "client_sdk.repairing",
        "for each in {*here, *there} if here.get(each)",
        "for each in here if here.get(each)",
        swarm=_DAMAGED,
    ),
    PlantedBug(
        "a repair leaves the sums as they were",
        "a sum that was wrong stays wrong, and every sync repairs in vain",
        "client_sdk.repairing",
        "        _correct_sum(connection, place, rows_of)\n",
        "        pass\n",
        swarm=_DAMAGED,
    ),
    PlantedBug(
        "a repair is of another place in the log",
        "a range is ahead of the rest of its replica",
        "client_sdk.repairing",
        """    if {(now.epoch, now.cursor), (page.trailer.epoch, page.trailer.cursor)} != {(at.epoch, at.cursor)}:
        return None
    if now.known is not None and page.trailer.head not in {None, now.known}:
        return None""",
        """    if (now.epoch, now.cursor) != (at.epoch, at.cursor):
        return None""",
        swarm=_BUSY,
    ),
    PlantedBug(
        "a repair fetches more than differs",
        "one row that is wrong brings its whole bucket",
        "client_sdk.integrity",
        "if held.get(place) != said.get(place)}",
        "if True}",
        swarm=_DAMAGED,
    ),
    PlantedBug(
        "a verification counts and does not compare",
        "what no sum shows is never found",
        "client_sdk.integrity",
        "if kept.get(place) != self._counted.get(place)}",
        "if False}",
        swarm=_DAMAGED,
    ),
    PlantedBug(
        "what was changed stays in the server's sums",
        "devices are right and take themselves to be wrong",
        "server.changelog.sums",
        "change, -count(*), -sum(checksum) {counted}",
        "change, -count(*), 0 {counted}",
        swarm=_CHANGED,
    ),
    PlantedBug(
        "what is deleted stays in a device's sums",
        "a device is right and takes itself to be wrong",
        "sync_protocol.replica_schema",
        "checksum = checksum - OLD.checksum ",
        "checksum = checksum - 0 ",
        swarm=_CHANGED,
        in_template=True,
    ),
    PlantedBug(
        "a recount mends nothing",
        "the server's sums stay wrong, and every device recounts them",
        "server.sync.endpoint",
        "            await mend_what_differs(self._database, kept, counted, self._clock.now_ms())\n",
        "            pass\n",
        swarm=_SPOILED,
    ),
)
