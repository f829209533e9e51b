"""Bugs of the way up that the simulation must catch: how a push is decided, and what becomes of an order."""

from typing import Final

from tests.simulation.plan import DEVICE_FAULTS, SERVER_FAULTS, Swarm
from tests.simulation.planting import PlantedBug

_CALM: Final = dict.fromkeys((*DEVICE_FAULTS, *SERVER_FAULTS, "look", "draft", "prospect"), 0)
"""What only gets into the way of the few things that a bug needs."""
_AMENDED: Final = Swarm(steps=_CALM | {"amend": 60, "order": 40, "sync": 70, "stock": 8}, devices=3, length=30)
_COPIED: Final = Swarm(steps=_CALM | {"device_clone": 20, "order": 60, "sync": 60}, length=20)
_CANCELLED: Final = Swarm(steps=_CALM | {"cancel": 70, "order": 40, "sync": 70}, devices=4, length=30)
_PRICED: Final = Swarm(steps=_CALM | {"price": 60, "order": 60, "sync": 60}, length=20)
_LOSSY: Final = Swarm(rates={"lost_reply": 0.25, "duplicated": 0.1})
_MANAGED: Final = Swarm(steps=_CALM | {"refuse": 60, "review_limit": 40, "order": 60, "sync": 60}, length=30)
_POISONED: Final = Swarm(poison_rate=0.4, steps={"amend": 12, "order": 16, "sync": 20})
_RESTORED: Final = Swarm(steps=_CALM | {"server_restore": 30, "amend": 60, "order": 60, "sync": 60}, length=30)

_PUSH: Final = (
    PlantedBug(
        "the dedupe does not know what was decided",
        "an intent that is sent again is decided again",
        "server.sync.push",
        "known = records.known(envelope.id)\n        if known is not None:",
        "known = None\n        if known is not None:",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "a rejection is not stored",
        "an intent that was refused may be accepted when it is sent again",
        "server.sync.records",
        "self._added.append(",
        "(self._added if verdict.outcome is not Outcome.REJECTED else []).append(",
    ),
    PlantedBug(
        "a stored verdict is dated anew",
        "the same intent gets two verdicts",
        "server.sync.records",
        "status=PushStatus.DECIDED, verdict=self.verdict, commit_seq=place)",
        "status=PushStatus.DECIDED, verdict=self.verdict[:-1] + bytes([self.verdict[-1] ^ (place > 0)]), commit_seq=place)",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "records have no place in the log",
        "a verdict that is asked for again says that the replica shows its effect already",
        "server.sync.push",
        "await place_records(self._session, [envelope.id for envelope in envelopes], place)",
        "",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "effects are written outside of the savepoint",
        "an intent that fails leaves half of its effect",
        "server.sync.push",
        "                results.append(await self._result(each, work, records))",
        "                results.append(await self._result(each, work, records))\n                await work.flush()",
        swarm=_POISONED,
    ),
    PlantedBug(
        "a failed intent holds no lane",
        "an amendment overtakes the order that it amends",
        "server.sync.push",
        "self._lanes.hold((*asked.lanes(), *asked.envelope.lanes), asked.envelope.id)",
        "",
        swarm=_POISONED,
    ),
    PlantedBug(
        "poison is never set aside",
        "an intent that the server fails on blocks what follows for ever",
        "server.sync.push",
        "if failure.failures < FAILURES_MAX:",
        "if failure.failures:",
        swarm=_POISONED,
    ),
    PlantedBug(
        "a push is not refused where the epoch differs",
        "what was acknowledged before a restore is never offered again",
        "server.sync.push",
        "request.epoch not in {None, head.epoch} or ",
        "",
        swarm=_RESTORED,
    ),
    PlantedBug(
        "a copy of a device is taken for it",
        "two devices number their orders alike",
        "server.sync.devices",
        "if not again and asker.incarnation not in {INCARNATION_FORGOTTEN, request.incarnation}:",
        "if False:",
        swarm=_COPIED,
    ),
    PlantedBug(
        "a push that is repeated counts as a copy",
        "a device whose reply was lost becomes another one",
        "server.sync.devices",
        "again = request.next_incarnation == asker.incarnation and request.incarnation == asker.previous_incarnation",
        "again = False",
        swarm=_LOSSY,
    ),
    PlantedBug(
        "a number that is taken is given again",
        "the order of a restored device cannot be stored",
        "server.identity.numbers",
        "while await work.find(kind, number=candidate):",
        "while False:",
        swarm=_COPIED,
    ),
)
_ORDERS: Final = (
    PlantedBug(
        "a cancelled order keeps its stock",
        "what levels have allocated is more than what lines have",
        "server.orders.allocations",
        "await change_allocated(work, order.stock_location_id, promised, now_ms)",
        "",
    ),
    PlantedBug(
        "a refusal keeps its stock",
        "what a manager refuses stays promised",
        "server.orders.service",
        "await release(work, held, ids=ids, now_ms=now_ms)\n    await work.flush()",
        "await release(work, held, ids=ids, now_ms=now_ms)",
        swarm=_MANAGED,
    ),
    PlantedBug(
        "stock that is promised is promised again",
        "orders promise more than there is",
        "server.inventory.levels",
        "level.on_hand - level.allocated for level",
        "level.on_hand for level",
    ),
    PlantedBug(
        "an amendment counts its own stock twice",
        "an order promises more than there is",
        "server.orders.facts",
        "available[product_id] = available.get(product_id, 0) + promised",
        "available[product_id] = available.get(product_id, 0) + 2 * promised",
        swarm=_AMENDED,
    ),
    PlantedBug(
        "an amendment releases nothing",
        "what an order had promised before stays promised",
        "server.orders.intents",
        "await release_stock(work, order, context.now_ms)\n    for line",
        "for line",
        swarm=_AMENDED,
    ),
    PlantedBug(
        "an amendment does not count",
        "a second one that was made of the same state is taken too",
        "server.orders.intents",
        "revision=order.revision + 1,",
        "revision=order.revision,",
        swarm=_AMENDED,
    ),
    PlantedBug(
        "an amendment of an old revision is taken",
        "it overwrites what its user never saw",
        "server.orders.intents",
        "if order.revision != intent.revision:",
        "if False:",
        swarm=_AMENDED,
    ),
    PlantedBug(
        "a cancelled order is cancelled again",
        "one order has two cancellations",
        "server.orders.intents",
        "if not may_move(Actor.CAPTURER, order.status, OrderStatus.CANCELLED):",
        "if order.status is OrderStatus.REFUSED:",
        swarm=_CANCELLED,
    ),
    PlantedBug(
        "the price is the device's",
        "an order has a price that is no more",
        "sync_protocol.rules.order_review",
        "    for line in (*price.lines, *price.gifts):\n",
        "    for line in [msgspec.structs.replace(each, unit_price=quoted[each.line_id].unit_price) for each in price.lines]:\n",
        swarm=_PRICED,
    ),
    PlantedBug(
        "the shallowest break wins",
        "an order of ten has the price of one",
        "sync_protocol.rules.pricing.candidates",
        "price.per_quantity == 1, -price.min_quantity,",
        "price.per_quantity == 1, price.min_quantity,",
    ),
)
PUSH_BUGS: Final = (*_PUSH, *_ORDERS)
