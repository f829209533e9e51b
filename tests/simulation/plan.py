"""What a seed means: how large its world is, which faults it has and how often, and the steps that are taken in it.

Everything is drawn before anything runs, and each step carries its own numbers, so that a step can be taken out without
changing what the others do: that is what makes a failing seed shrink.
"""

import random
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

USER_STEPS: Final = {
    "order": 10,
    "sync": 14,
    "amend": 4,
    "cancel": 3,
    "prospect": 2,
    "draft": 2,
    "mend": 3,
    "look": 3,
}
OFFICE_STEPS: Final = {
    "price": 4,
    "stock": 4,
    "product": 2,
    "move_customer": 3,
    "customer_status": 4,
    "review_limit": 2,
    "delete_contact": 1,
    "move_contact": 1,
    "release": 3,
    "refuse": 2,
    "delete_price": 1,
    "delete_address": 1,
    "currency": 1,
    "foreign_write": 2,
}
DEVICE_FAULTS: Final = {
    "device_kill": 8,
    "device_backup": 3,
    "device_restore": 2,
    "device_clone": 1,
    "clock_jump": 2,
    "disk_full": 2,
    "locked": 2,
    "offline": 3,
    "revoke": 1,
}
SERVER_FAULTS: Final = {
    "server_kill": 6,
    "server_backup": 3,
    "server_restore": 2,
    "hand_restore": 1,
    "collect": 3,
    "server_full": 1,
    "server_locked": 1,
}
NETWORK_FAULTS: Final = (
    *("lost_request", "lost_reply", "duplicated", "late_copy", "slow", "cut_off", "garbled"),
    *("another_user", "captive_portal", "bad_gateway", "shed"),
)

RARER_STEPS: Final = {
    "blunder": 2,
    "finish": 2,
    "contend": 2,
    "roll_back": 2,
    "hand_over": 4,
    "assign": 2,
    "fad": 2,
    "inflate": 1,
}
DAMAGES: Final = {"damage": 5, "spoil_sum": 1}
IMAGE_STEPS: Final = {"build_images": 3, "spoil_image": 1, "reinstall": 4}
QUOTE_STEPS: Final = {"haggle": 4, "answer_quotes": 3, "sync": 4}
RARER_FAULTS: Final = ("newer_server", "older_server", "too_large")


class Step(msgspec.Struct, frozen=True):
    """One thing that happens `at_ms` after the beginning: `numbers` are its choices, each taken modulo what there is."""

    at_ms: int
    kind: str
    device: int
    numbers: tuple[int, ...]

    def pick(self, place: int, below: int) -> int:
        """A choice of the step, from 0 to `below` - 1."""
        return self.numbers[place] % below


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is made of. `rates` are the chances of a network fault per request."""

    seed: int
    devices: int
    page_rows: int
    through_app: bool
    statements_are_slow: bool
    poison_rate: float
    rates: dict[str, float]
    steps: tuple[Step, ...]
    has_images: bool = False
    """Whether the server begins with images."""
    older_devices: int = 0
    """How many of them, the first ones, are of protocol 1."""
    verifies: bool = False
    """Whether every replica is compared with the server's own rows at the end."""
    states: tuple[str, ...] = ()
    """What each device begins as; drawn where it is not said."""


class Swarm(msgspec.Struct, frozen=True, kw_only=True):
    """A tendency: steps that are much more likely, and faults that are always on. Planted bugs are looked for with one."""

    steps: dict[str, int] = {}
    rates: dict[str, float] = {}
    through_app: bool | None = None
    page_rows: int | None = None
    poison_rate: float | None = None
    length: int | None = None
    has_images: bool = False
    older_devices: int = 0
    devices: int | None = None


def draw(seed: int, swarm: Swarm | None = None) -> Plan:
    """The plan of a seed; without a tendency it has now and then what is rarer, which shifts nothing of the rest."""
    plan = _draw(seed, swarm)
    if swarm is not None:
        return plan
    chance = random.Random(f"{seed}/rarer")
    rates = {fault: 0.04 for fault in RARER_FAULTS if plan.rates and chance.random() < 0.25}
    count, until_ms = chance.choice((0, 1, 1, 2, 3)), plan.steps[-1].at_ms
    kinds = chance.choices(list(RARER_STEPS), list(RARER_STEPS.values()), k=count)
    further = tuple(_step(chance, chance.randrange(until_ms + 1), kind) for kind in kinds)
    steps = sorted((*plan.steps, *further), key=lambda step: step.at_ms)
    return _with_quotes(_with_latest(msgspec.structs.replace(plan, rates=plan.rates | rates, steps=tuple(steps))))


def _with_quotes(plan: Plan) -> Plan:
    """Some worlds haggle, from a stream of its own."""
    chance = random.Random(f"{plan.seed}/quotes")
    if chance.random() >= 0.15:
        return plan
    kinds = chance.choices(list(QUOTE_STEPS), list(QUOTE_STEPS.values()), k=chance.choice((10, 16, 24)))
    until_ms = plan.steps[-1].at_ms
    steps = [_step(chance, chance.randrange(until_ms + 1), kind) for kind in kinds]
    return msgspec.structs.replace(plan, steps=tuple(sorted((*plan.steps, *steps), key=lambda step: step.at_ms)))


def _with_latest(plan: Plan) -> Plan:
    """What only some worlds have, from a stream of its own."""
    chance = random.Random(f"{plan.seed}/latest")
    damages = chance.random() < 0.12
    until_ms, verifies = plan.steps[-1].at_ms, chance.random() < 0.1
    kinds = chance.choices(list(DAMAGES), list(DAMAGES.values()), k=chance.choice((1, 2, 3))) if damages else []
    images = chance.random() < 0.25
    kinds += chance.choices(list(IMAGE_STEPS), list(IMAGE_STEPS.values()), k=chance.choice((1, 2, 3))) if images else []
    older = chance.choice((1, 1, 2)) if chance.random() < 0.15 else 0
    kinds += ["update_app"] * chance.choice((0, 1, 2, 2)) if older else []
    kinds += chance.choice((["forget"], ["come_back_late"], ["come_back_late", "forget"])) if chance.random() < 0.08 else []
    kinds += ["enlist"] * chance.choice((2, 4, 8)) if chance.random() < 0.15 else []
    steps = [_step(chance, chance.randrange(until_ms + 1), kind) for kind in kinds]
    in_order = sorted((*plan.steps, *steps), key=lambda step: step.at_ms)
    return msgspec.structs.replace(plan, verifies=verifies, has_images=images, older_devices=older, steps=tuple(in_order))


def _draw(seed: int, swarm: Swarm | None) -> Plan:
    tendency = swarm or Swarm()
    chance = random.Random(f"{seed}/plan")
    weights = {kind: weight for kind, weight in (USER_STEPS | OFFICE_STEPS).items() if kind in USER_STEPS or chance.random() < 0.7}
    for faults in (DEVICE_FAULTS, SERVER_FAULTS):
        is_calm = chance.random() < 0.25
        weights |= {kind: weight for kind, weight in faults.items() if not is_calm and chance.random() < 0.5}
    weights |= tendency.steps
    network_is_calm = chance.random() < 0.25
    rates = {}
    for fault in NETWORK_FAULTS:
        rate = chance.choice((0.02, 0.05, 0.15))
        if not network_is_calm and chance.random() < 0.5:
            rates[fault] = rate
    rates |= tendency.rates
    length = tendency.length or chance.choice((8, 12, 12, 16, 20, 30))
    return Plan(
        seed=seed,
        devices=_or(tendency.devices, chance.choice((2, 2, 3, 4))),
        page_rows=tendency.page_rows or chance.choice((1, 3, 10, 10, *[50_000] * 8)),
        through_app=chance.random() < 0.15 if tendency.through_app is None else tendency.through_app,
        statements_are_slow=chance.random() < 0.3,
        poison_rate=(0.15 if chance.random() < 0.15 else 0.0) if tendency.poison_rate is None else tendency.poison_rate,
        rates=rates,
        steps=_steps(chance, weights, length),
        has_images=tendency.has_images,
        older_devices=tendency.older_devices,
    )


def _or(tendency: int | None, drawn: int) -> int:
    """What a tendency says, else what was drawn: drawn it is in either case, so that nothing after it shifts."""
    return drawn if tendency is None else tendency


def _steps(chance: random.Random, weights: dict[str, int], length: int) -> tuple[Step, ...]:
    kinds, heavy = list(weights), list(weights.values())
    at_ms, steps = 0, []
    pause_ms = chance.choice((200, 20_000, HOUR_MS, 12 * HOUR_MS))
    for kind in chance.choices(kinds, heavy, k=length):
        at_ms += chance.randrange(pause_ms) if chance.random() < 0.9 else chance.randrange(15 * pause_ms)
        steps.append(_step(chance, at_ms, kind))
    return tuple(steps)


def _step(chance: random.Random, at_ms: int, kind: str) -> Step:
    numbers = tuple(chance.getrandbits(32) for _ in range(8))
    return Step(at_ms, kind, chance.randrange(4), numbers)
