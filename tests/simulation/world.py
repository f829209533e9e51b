"""One simulated world: a server, its devices, a network between them, and the course of a run."""

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from server.identity.service import create_enrolment_code, user_of_login
from server.runtime.database import WriteSession
from tests.simulation.aftermath import Pushers, check_aftermath
from tests.simulation.damage import Condition, mend_all
from tests.simulation.device import copy_files, end_life
from tests.simulation.handset import Handset, Told
from tests.simulation.older import FIRST, TODAY
from tests.simulation.plan import DAY_MS, Plan, Step
from tests.simulation.server import SimulatedServer
from tests.simulation.sums import check_device_sums, check_server_sums
from tests.simulation.template import REPS, STATES, canary, template
from tests.simulation.trace import Trace, require
from tests.support.scratch import scratch_folder
from tests.support.world import START_MS

ROUNDS_MAX: Final = 24
"""How many syncs of each device bring everything to rest: a poisoned intent needs five, one behind it on its lane five more."""


class WorldClock:
    """The server's time: that of the loop."""

    def now_ms(self) -> int:
        return START_MS + round(asyncio.get_running_loop().time() * 1000)


class Ledger:
    """What users were shown as saved: by intent, the device that it was saved on."""

    def __init__(self) -> None:
        self.saved: dict[bytes, int] = {}
        self.discarded: set[bytes] = set()


class Backup:
    """A copy of a device's files with the ledger's pages of that moment, or a copy of the server's file."""

    def __init__(self, folder: Path, handset: Handset | None = None) -> None:
        self.folder = folder
        self.holds = dict(handset.holds) if handset is not None else {}
        self.told = dict(handset.told) if handset is not None else {}
        self.condition = handset.condition.copy() if handset is not None else Condition()


class SimulatedWorld:
    """Everything of one run. `chance` gives a named stream of the seed: a draw from one shifts no other."""

    def __init__(self, plan: Plan, *, keep_trace: bool = False) -> None:
        self.plan = plan
        self.folder = scratch_folder("simulation")
        made = template()
        self.template, self.company = made.folder, made.company
        self.clock = WorldClock()
        self.trace = Trace(asyncio.get_running_loop().time, keep=keep_trace)
        self.ledger = Ledger()
        self.pushers = Pushers()
        self.server = SimulatedServer(
            self.folder, made.columns, self.clock, self.chance("server"), self.trace, through_app=plan.through_app
        )
        self.handsets: list[Handset] = []
        self.device_backups: list[tuple[int, Backup]] = []
        self.server_backups: list[Path] = []
        self.sums_are_spoiled = False

    def chance(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed}/{name}")

    # The beginning and the end

    async def begin(self) -> None:
        shutil.copyfile(self.template / ("images.db" if self.plan.has_images else "server.db"), self.server.path)
        if self.plan.has_images:
            shutil.copytree(self.template / "images", str(self.server.images.folder))
        pauses = self.chance("pauses")
        if self.plan.statements_are_slow:
            self.server.pause = lambda: pauses.random() * 0.5 if pauses.random() < 0.03 else 0.0
        self.server.poison_rate = self.plan.poison_rate
        await self.server.start()
        drawn = self.chance("devices")
        for place in range(self.plan.devices):
            handset = self.add_handset(drawn.choice(REPS) if place > 1 else (0, 1)[place])
            original = REPS.index(handset.rep) + (1 if place > 1 else 0)
            state = drawn.choice((*STATES, "synced", "synced"))
            if self.plan.states:
                state = self.plan.states[place]
            if place > 1 and any(each.original == original for each in self.handsets[:-1]):
                state = "fresh"
            handset.original = original
            shutil.copytree(self.template / str(original) / state, handset.folder)
            await handset.switch_on()
            if state == "synced":
                handset.check_replica()
        self.server_backups.append(self.folder / "backup-0.db")
        self.server.back_up(self.server_backups[0])

    def add_handset(self, rep: int) -> Handset:
        place = len(self.handsets)
        version = FIRST if place < self.plan.older_devices else TODAY
        handset = Handset(self, place, rep, self.folder / f"device-{place}", version)
        for other in self.handsets:
            other.network.neighbours.append(handset.network)
            handset.network.neighbours.append(other.network)
        self.handsets.append(handset)
        return handset

    async def close(self) -> None:
        for handset in self.handsets:
            for task in handset.network.under_way:
                task.cancel()
            end_life(handset.life)
        await self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def run(self, take: Callable[["SimulatedWorld", Step], Coroutine[Any, Any, None]]) -> None:
        """All steps at their times, each a task of its own; then, without faults, to rest."""
        loop = asyncio.get_running_loop()
        await self.begin()
        begun = loop.time()
        under_way: list[asyncio.Task[None]] = []
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, begun + step.at_ms / 1000 - loop.time()))
            self.trace.check()
            self.trace.note("step", step.kind, step.device)
            under_way.append(loop.create_task(take(self, step)))
            for task in [task for task in under_way if task.done()]:
                under_way.remove(task)
                task.result()
        await asyncio.gather(*under_way)
        await self.come_to_rest()

    async def come_to_rest(self) -> None:
        """Faults end. Every queue must empty and every replica catch up, within a few syncs (I-6)."""
        copies = [task for handset in self.handsets for task in handset.network.under_way]
        await asyncio.gather(*copies)
        self.server.be_sound()
        for handset in self.handsets:
            handset.network.rates, handset.network.is_offline = {}, False
            handset.die_soon(0, 0)
            handset.clock.ahead_ms = 0
            handset.life.limit_pages(None)
        await asyncio.sleep(61)  # a server that died is up again by now
        self.server.be_sound()
        if any(handset.is_doubtful for handset in self.handsets):
            await self.say_restored()
        await self._sync_until_still()
        if self.sums_are_spoiled:
            for handset in self.handsets:
                await handset.sync()  # nothing need have changed for sums to be compared
        await mend_all(self)
        await self._sync_until_still()
        self.check_rest()
        await check_aftermath(self)

    async def _sync_until_still(self) -> None:
        for _ in range(ROUNDS_MAX):
            restless = [handset for handset in self.handsets if self.is_restless(handset)]
            if not restless:
                break
            for handset in sorted(restless, key=self.has_news, reverse=True):
                await handset.sync()

    def is_restless(self, handset: Handset) -> bool:
        """Whether it has something to send or to fetch, or another program's write has no place in the log yet."""
        if handset.client is None or handset.is_revoked:
            return False
        latest = self.server.history.latest
        at = (handset.epoch.bytes if handset.epoch is not None else b"", handset.cursor)
        is_there = latest is not None and at == (latest.epoch, latest.head) and handset.has_caught_up
        return not is_there or self.waits(handset) or self.server.has_foreign_writes()

    def has_news(self, handset: Handset) -> bool:
        """Whether its sync will move the log, so that who syncs before it has to sync again."""
        return self.waits(handset) or (handset.client is not None and handset.look(handset.client.status()).identity is None)

    def waits(self, handset: Handset) -> bool:
        return handset.client is not None and not handset.is_revoked and bool(handset.query("SELECT 1 FROM outbox"))

    def check_rest(self) -> None:
        self.trace.check()
        server = self.server.history
        assert server.latest is not None
        for handset in self.handsets:
            if handset.is_revoked or handset.client is None:
                continue
            require(not self.waits(handset), "I-6", "with faults off every queue empties")
            at = (handset.epoch.bytes if handset.epoch is not None else b"", handset.cursor)
            require(at == (server.latest.epoch, server.latest.head), "I-6", "with faults off every replica catches up")
            handset.check_replica(is_latest=True)
            for intent_id, told in handset.told.items():
                record = server.records.get(intent_id)
                kept = record is None or handset.is_same(record.verdict, told.verdict) or self._is_past(handset, told)
                kept = kept or intent_id in server.forgotten
                require(kept, "I-2", "what was told is what the server holds")
            self.check_bytes(handset)
            check_device_sums(self, handset)
        self.check_ledger()
        if not self.server.has_foreign_writes():
            check_server_sums(self)

    def check_ledger(self) -> None:
        """I-1: each intent that was shown as saved has a verdict on the server, or is known to be gone, and why."""
        records = self.server.history.records
        for intent_id in self.ledger.saved:
            if intent_id in records or intent_id in self.server.history.forgotten:
                continue
            holders = [each for each in self.handsets if intent_id in each.holds]
            excused = all(self._is_excused(each, intent_id) for each in holders)
            require(excused, "I-1", f"an intent that was shown as saved is lost ({intent_id.hex()})")

    def _is_excused(self, handset: Handset, intent_id: bytes) -> bool:
        """A rejection was seen and is kept; what was acknowledged is offered again for fourteen days, no longer."""
        told = handset.told.get(intent_id)
        if told is None:
            return handset.is_revoked
        return told.outcome == "rejected" or handset.is_revoked or self._is_past(handset, told)

    def _is_past(self, handset: Handset, told: Told) -> bool:
        """Whether a server that was restored may have forgotten it for good: its device no longer offered it."""
        return handset.rebuilt_at_ms - told.at_ms > 14 * DAY_MS

    def check_bytes(self, handset: Handset) -> None:
        """I-5: of a customer that is out of scope not a byte is left after the next checkpoint of the file."""
        latest = self.server.history.latest
        assert latest is not None
        names = {row[0] for row in latest.view(handset.rep_id)["customer"]}
        foreign = [n for n, each in enumerate(self.company.customers) if each.id.bytes not in names]
        if not foreign:
            return
        handset.fold_logs()
        held = b"".join(file.read_bytes() for file in sorted(handset.folder.iterdir()) if not file.name.endswith("-shm"))
        for customer in foreign:
            require(canary(customer).encode() not in held, "I-5", "the bytes of what left the scope are gone")

    # What steps use

    async def restore_server(self, backup: Path, *, by_the_book: bool) -> None:
        """Revocations since the backup are forgotten with everything else."""
        await self.server.restore(backup, by_the_book=by_the_book)
        self._forget_past()
        revoked = self.server.revoked_devices()
        for handset in self.handsets:
            identity = handset.look(handset.client.status()).identity if handset.client is not None else None
            handset.is_revoked = identity is not None and identity.device_id.bytes in revoked

    async def say_restored(self) -> None:
        await self.server.say_restored()
        self._forget_past()

    def _forget_past(self) -> None:
        """What a restored server does not know any more, nobody can ask of it."""
        self.pushers.forget()
        for handset in self.handsets:
            handset.purged.clear()

    async def code_for(self, login: str) -> str | None:
        async def issue(session: WriteSession) -> str:
            user = await user_of_login(session, login)
            now_ms = self.clock.now_ms()
            issued = await create_enrolment_code(session, user_id=user.id, created_by_id=user.id, now_ms=now_ms, valid_minutes=60)
            return issued.code

        return await self.server.work(issue)

    def back_up_device(self, handset: Handset) -> None:
        folder = self.folder / f"device-backup-{len(self.device_backups)}"
        copy_files(handset.folder, folder)
        self.device_backups.append((handset.place, Backup(folder, handset)))

    async def restore_device(self, handset: Handset, backup: Backup) -> None:
        """Its files become those of the backup; what was only on it since is gone, and its user knows."""
        handset.switch_off()
        copy_files(backup.folder, handset.folder)
        handset.holds, handset.told = dict(backup.holds), dict(backup.told)
        handset.epoch, handset.cursor, handset.was_copied = None, 0, True
        handset.purged.clear()
        handset.has_caught_up = False
        handset.condition = backup.condition.copy()
        handset.condition.excused |= self.sums_are_spoiled
        await handset.switch_on()

    async def clone_device(self, handset: Handset) -> None:
        clone = self.add_handset(handset.rep)
        clone.original = -1
        clone.was_copied = handset.was_copied = True
        clone.holds, clone.told, clone.is_doubtful = dict(handset.holds), dict(handset.told), handset.is_doubtful
        clone.has_caught_up = handset.has_caught_up
        clone.is_revoked, clone.rebuilt_at_ms = handset.is_revoked, handset.rebuilt_at_ms
        clone.condition = handset.condition.copy()
        clone.protocol_version, clone.was_older = handset.protocol_version, handset.was_older
        copy_files(handset.folder, clone.folder)
        await clone.switch_on()

    def customer(self, number: int) -> UUID:
        return self.company.customers[number % len(self.company.customers)].id

    def product(self, number: int) -> UUID:
        return self.company.products[number % len(self.company.products)].id
