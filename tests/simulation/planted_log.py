"""Bugs of the way down that the simulation must catch: the log, what a page has, scopes, and who may ask."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "look", "draft", "prospect", "foreign_write"), 0)
"""What only gets into the way of the few things that a bug needs."""
_COLLECTED: Final = Swarm(
    steps=_CALM | {"collect": 30, "delete_contact": 40, "delete_price": 30, "move_contact": 40, "sync": 40}, length=30
)
_ENLISTED: Final = Swarm(steps=_CALM | {"enlist": 60, "move_customer": 20, "sync": 60}, length=25)
_FOREIGN: Final = Swarm(steps=_CALM | {"foreign_write": 60, "sync": 60}, length=20)
_MOVED: Final = Swarm(steps=_CALM | {"move_customer": 50, "move_contact": 40, "sync": 60}, length=20)
_PAGED: Final = Swarm(steps=_CALM | {"price": 40, "order": 20, "sync": 60}, page_rows=1)
_RESTORED: Final = Swarm(steps=_CALM | {"server_backup": 20, "server_restore": 20, "order": 60, "sync": 60}, length=20)
_REVOKED: Final = Swarm(steps=_CALM | {"revoke": 30, "order": 40, "prospect": 30, "sync": 40}, length=15)

_LOG: Final = (
    PlantedBug(
        "what another program wrote passes for sealed",
        "a device reads rows that have no place in the log yet",
        "server.sync.arrivals",
        '"NOT EXISTS (SELECT 1 FROM change_commit n WHERE n.change = h.head + 1)" if reader.is_sqlite else "true"',
        '"true"',
        swarm=_FOREIGN,
    ),
    PlantedBug(
        "a change of one column is not captured",
        "a device keeps the row as it was",
        "server.changelog.capture",
        'differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in _columns(synced))',
        'differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in _columns(synced)[:-1])',
        in_template=True,
    ),
    PlantedBug(
        "a deletion is captured as a change",
        "a device keeps a row that is no more",
        "server.changelog.capture",
        """_sqlite_log(synced, "OLD", deleted=1)""",
        """_sqlite_log(synced, "OLD", deleted=0)""",
        in_template=True,
        swarm=_COLLECTED,
    ),
    PlantedBug(
        "a row that leaves a bucket leaves no trace there",
        "a device that held the bucket keeps the row",
        "server.changelog.capture",
        "BEGIN {superseded} {update_leave} {entered} END",
        "BEGIN {superseded} {entered} END",
        in_template=True,
        swarm=_MOVED,
    ),
    PlantedBug(
        "the floor is not raised with the collection",
        "a device that is too old never hears what is gone",
        "server.changelog.log",
        "values(floor=floor))",
        "values(floor=ChangeHeadModel.floor))",
        swarm=_COLLECTED,
    ),
    PlantedBug(
        "leaves are collected a day too early",
        "a device that may still come never hears what left its scope",
        "server.changelog.log",
        "expired = sa.select(ChangeCommitModel.change).where(ChangeCommitModel.commit_seq <= floor)",
        "expired = sa.select(ChangeCommitModel.change).where(ChangeCommitModel.commit_seq <= floor + 8)",
        swarm=_COLLECTED,
    ),
    PlantedBug(
        "a restore keeps its epoch",
        "devices take a log that was put back for the one that they know",
        "server.changelog.log",
        "await session.execute(sa.update(ChangeHeadModel).values(epoch=epoch))",
        "",
        swarm=_RESTORED,
    ),
)
_PAGES: Final = (
    PlantedBug(
        "no resync after a change of the epoch",
        "a device goes on from a place in another log",
        "server.sync.pull",
        "if request.epoch is not None and request.epoch != head.epoch:",
        "if False:",
        swarm=_RESTORED,
    ),
    PlantedBug(
        "no resync below the floor",
        "a device that is too old keeps rows that are no more",
        "server.sync.pull",
        "return ResyncReason.BELOW_RETENTION if started < head.floor else None",
        "return None",
        swarm=_COLLECTED,
    ),
    PlantedBug(
        "a page begins after the change it ended in",
        "the rest of the rows of one commit is never sent",
        "server.sync.walk",
        "(l.change, l.row_id) > ($3, $4) ",
        "l.change > $3 AND $4 IS NOT NULL ",
        swarm=_PAGED,
    ),
    PlantedBug(
        "a pass ends where the log is now",
        "what changed behind the pass is never sent",
        "server.sync.pull",
        "    begins: dict[int, Begin] = {}\n",
        "    position = msgspec.structs.replace(position, pass_to=head.head)\n    begins: dict[int, Begin] = {}\n",
        swarm=_PAGED,
    ),
    PlantedBug(
        "what is gained comes like all the rest",
        "rows that came into the scope by its change are never sent",
        "server.sync.walk",
        "    if has_gained:\n",
        "    if False:\n",
        swarm=_MOVED,
    ),
    PlantedBug(
        "what is gone is not sent",
        "a device keeps rows that are no more",
        "server.sync.pull",
        "or (stage.gone and position.pass_from == 0)",
        "or stage.gone",
        swarm=_COLLECTED,
    ),
    PlantedBug(
        "a short pass begins at its second change",
        "the first change of a stage is never sent",
        "server.sync.pull",
        "change=begin.change - 1, row_id=FIRST_ID",
        "change=begin.change + 1, row_id=FIRST_ID",
    ),
    PlantedBug(
        "a change of scope is not told",
        "a device keeps what it may not hold any more",
        "server.sync.pull",
        "if request.scope_digest != scope.digest:",
        "if request.scope_digest is None:",
        swarm=_MOVED,
    ),
    PlantedBug(
        "a kept scope always holds",
        "a device keeps what it may not hold any more",
        "server.sync.scope",
        "if kept is not None and await _still_holds(reader, kept, head):",
        "if kept is not None:",
        swarm=_MOVED,
    ),
    PlantedBug(
        "a moved customer does not touch kept scopes",
        "its former rep keeps it until something else changes",
        "server.sync.scope",
        "(Territory, Customer, SegmentMember, PriceListAssignment, CustomerPriceList)",
        "(Territory, SegmentMember, PriceListAssignment, CustomerPriceList)",
        swarm=_MOVED,
    ),
    PlantedBug(
        "who is to buy from a list does not touch kept scopes",
        "a device lacks a list until something else changes",
        "server.sync.scope",
        "SegmentMember, PriceListAssignment, CustomerPriceList)",
        "SegmentMember, CustomerPriceList)",
        swarm=_ENLISTED,
    ),
    PlantedBug(
        "who joins a segment does not touch kept scopes",
        "a device lacks the segment's list until something else changes",
        "server.sync.scope",
        "Customer, SegmentMember, PriceListAssignment,",
        "Customer, PriceListAssignment,",
        swarm=_ENLISTED,
    ),
    PlantedBug(
        "a segment's list in one territory is held in all",
        "a device holds a list that none of its customers is to buy from",
        "server.customers.price_lists",
        "(p.territory_id IS NULL OR p.territory_id = grouped.territory_id)",
        "(p.territory_id IS NULL OR true)",
        swarm=_ENLISTED,
    ),
    PlantedBug(
        "what buyers are to buy from is held by reps",
        "a rep's device holds a list that its orders never go by",
        "server.customers.price_lists",
        "p.channel IS NULL OR p.channel IN",
        "p.channel IS NULL OR p.channel NOT IN",
        swarm=_ENLISTED,
    ),
)
_DEVICES: Final = (
    PlantedBug(
        "a revoked device still reads",
        "whoever has it is told what changes",
        "server.sync.arrivals",
        "    if revoked_at_ms is not None:\n",
        "    if False:\n",
        swarm=_REVOKED,
    ),
    PlantedBug(
        "a revoked device still orders",
        "what it sends after its revocation has an effect",
        "server.identity.service",
        "if device.revoked_at_ms is not None and not revoked_too:",
        "if False:",
        also=(("server.sync.devices", "    if device.revoked_at_ms is not None:  # while", "    if False:  # while"),),
        swarm=_REVOKED,
    ),
    PlantedBug(
        "what a leaver's device sends is not kept",
        "its orders are lost, though it is told that a manager has them",
        "server.sync.quarantine",
        'await session.execute(_insert(session).values(**values).on_conflict_do_nothing(index_elements=["id"]))',
        "",
        swarm=_REVOKED,
    ),
    PlantedBug(
        "a receipt is taken and not stored",
        "nobody can show that a device gave back what it lost",
        "server.sync.report",
        'await session.execute(_insert(session, PurgeReceiptModel).on_conflict_do_nothing(index_elements=["id"]), rows)',
        "",
        swarm=_MOVED,
    ),
)
LOG_BUGS: Final = (*_LOG, *_PAGES, *_DEVICES)
