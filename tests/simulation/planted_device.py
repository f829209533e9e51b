"""Bugs of the device that the simulation must catch: its outbox, overlay and journal, its replica, and who it is."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import Change, PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "draft", "foreign_write"), 0)
"""What only gets into the way of the few things that a bug needs."""
_COPIED: Final = Swarm(
    steps=_CALM | {"device_clone": 40, "sync": 80, "delete_address": 30, "delete_contact": 30, "price": 30},
    rates={"another_user": 0.4},
    page_rows=1,
    length=20,
)
_GONE: Final = Swarm(steps=_CALM | {"delete_contact": 40, "delete_price": 40, "move_contact": 20, "sync": 60}, length=20)
_KILLED: Final = Swarm(steps=_CALM | {"device_kill": 60, "order": 60, "price": 30, "sync": 40}, length=20)
_LOSSY: Final = Swarm(steps=_CALM | {"order": 60, "sync": 60}, rates={"lost_reply": 0.25, "another_user": 0.15}, length=20)
_GARBLED: Final = Swarm(steps=_CALM | {"price": 40, "sync": 60}, rates={"garbled": 0.5}, length=30)
_MOVED: Final = Swarm(steps=_CALM | {"move_customer": 60, "move_contact": 30, "sync": 60}, length=20)
_ORDERED: Final = Swarm(steps=_CALM | {"order": 80, "sync": 50, "look": 30}, rates={"lost_reply": 0.2}, length=20)
_POISONED: Final = Swarm(steps=_CALM | {"order": 60, "sync": 60}, poison_rate=0.4, length=20)
_RESTORED: Final = Swarm(steps=_CALM | {"server_backup": 10, "server_restore": 30, "order": 60, "sync": 60}, length=20)
_REVOKED: Final = Swarm(steps=_CALM | {"revoke": 30, "order": 40, "sync": 40}, length=15)

_ANSWERS: Final[Change] = ("client_sdk.transport", "if response.headers.get(ANSWERS_HEADER, asked) != asked:", "if False:")

_INTENTS: Final = (
    PlantedBug(
        "an intent leaves the outbox when it is sent",
        "one whose push is lost is lost",
        "client_sdk.engine",
        "            try:\n                with self.flow.pushing(len(batch)):",
        '            await self._store.write(lambda connection: connection.execute("DELETE FROM outbox") and None)\n'
        "            try:\n                with self.flow.pushing(len(batch)):",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "one verdict empties the outbox",
        "what waits behind an intent that was decided is lost",
        "client_sdk.journal",
        '"DELETE FROM outbox WHERE sequence = ?"',
        '"DELETE FROM outbox WHERE sequence >= ?"',
        swarm=_ORDERED,
    ),
    PlantedBug(
        "what is put off gets another id",
        "an intent is not the one any more that its user was shown",
        "client_sdk.engine",
        "if result.status is PushStatus.CONFLICT:",
        "if result.status is not PushStatus.DECIDED:",
        swarm=_POISONED,
    ),
    PlantedBug(
        "a push that is repeated is another push",
        "a device whose reply was lost takes itself for a copy",
        "client_sdk.engine",
        "if incarnation.following == incarnation.present:",
        "if incarnation.following:",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "a device forgets what was accepted until it comes",
        "an order that was accepted is not shown for a while",
        "client_sdk.overlay",
        "WHERE commit_seq > ? AND outcome <> ?",
        "WHERE commit_seq < -? AND outcome <> ?",
        swarm=_ORDERED,
    ),
    PlantedBug(
        "a restored server is offered nothing",
        "what it had acknowledged and does not know any more is lost",
        "client_sdk.pulling",
        "await self._store.write(_offer_again, server_time_ms) if restored else 0",
        "0",
        also=(("client_sdk.journal", "return decided_in is not None and decided_in.epoch != epoch", "return False"),),
        swarm=_RESTORED,
    ),
    PlantedBug(
        "a journal forgets what is younger than its days",
        "a restored server is not offered what it acknowledged",
        "client_sdk.journal",
        '"DELETE FROM journal WHERE received_at_ms < ? AND',
        '"DELETE FROM journal WHERE received_at_ms > ? AND',
        swarm=_RESTORED,
    ),
    PlantedBug(
        "a lost device keeps its replica",
        "of a device that was told to erase itself something is left",
        "client_sdk.wipe",
        '    yield from sorted(each for each in own.parent.glob(f"{escape(own.name)}-*") if each.name != own.name + _ORDER)\n',
        "",
        swarm=_REVOKED,
    ),
)
_REPLICA: Final = (
    PlantedBug(
        "the cursor moves before the rows",
        "a device that is killed between them never gets the rows",
        "client_sdk.pulling",
        "            await self._tell(await self._store.write(_move, staging, page, tell))",
        "            at = Checkpoint(epoch=page.trailer.epoch, cursor=page.trailer.cursor, as_of_ms=1, clock_skew_ms=0)\n"
        "            await self._store.write(replica.save, at)\n"
        "            await self._tell(await self._store.write(_move, staging, page, tell))",
        swarm=_KILLED,
    ),
    PlantedBug(
        "what is gone stays",
        "a device keeps rows that are no more",
        "client_sdk.replica",
        '"INSERT INTO staged_gone VALUES (?, ?, ?) "',
        '"INSERT OR IGNORE INTO staged_gone SELECT ?, ?, ? WHERE false "',
        swarm=_GONE,
    ),
    PlantedBug(
        "a bucket that is lost is not purged",
        "a device keeps what it may not hold any more",
        "client_sdk.replica",
        "    _purge(connection, staging.lost, _replica_table, changes)\n",
        "",
        swarm=_MOVED,
    ),
    PlantedBug(
        "a bucket that is gained is not asked for",
        "its rows from before never come",
        "client_sdk.replica",
        "gained = set() if begins_at_nothing else new - known",
        "gained = set[str]()",
        swarm=_MOVED,
    ),
    PlantedBug(
        "a purge writes no receipt",
        "nobody can show that the device gave back what it lost",
        "client_sdk.replica",
        "    receipts.write(connection, _lost(before, after), at)\n",
        "",
        swarm=_MOVED,
    ),
    PlantedBug(
        "what is purged is not overwritten",
        "its bytes stay in the file",
        "client_sdk.replica_file",
        '"secure_delete=ON"',
        '"secure_delete=OFF"',
        also=(("client_sdk.connection", '"secure_delete=ON"', '"secure_delete=OFF"'),),
        swarm=_MOVED,
    ),
    PlantedBug(
        "a page for another device is taken",
        "a device holds what is another's",
        "client_sdk.pages",
        "if {header.audience, trailer.audience} != {device_id} or header.epoch != trailer.epoch:",
        "if header.epoch != trailer.epoch:",
        also=(_ANSWERS,),
        swarm=_LOSSY,
    ),
    PlantedBug(
        "an answer is taken whatever was asked",
        "a device goes on from where its copy was",
        *_ANSWERS,
        swarm=_COPIED,
    ),
    PlantedBug(
        "a garbled page is taken",
        "a device holds what the server never had",
        "client_sdk.pages",
        "if trailer.digest != digest:",
        "if False:",
        also=(("client_sdk.transport", "if given is not None and given != digest(body).hex():", "if False:"),),
        swarm=_GARBLED,
    ),
)
DEVICE_BUGS: Final = (*_INTENTS, *_REPLICA)
