"""What an import did, so that every row that was read is accounted for."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from server.integration.bulk import Counts
from server.integration.refusals import Reason, SetAside

SAMPLES_PER_STEP = 20


class Total(msgspec.Struct):
    """A sum of the source beside what was made of it, exact, in the major unit. `largest` is of one row or group."""

    source: Decimal = Decimal(0)
    imported: Decimal = Decimal(0)
    largest: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        return self.imported - self.source


class Step(msgspec.Struct, kw_only=True):
    """One target of the mapping. Merged rows had the key of an accepted one; not selected is what `where` leaves out."""

    entity: str
    source: str
    file: str
    read: int = 0
    accepted: int = 0
    merged: int = 0
    not_selected: int = 0
    set_aside: dict[Reason, int] = {}
    samples: list[SetAside] = []
    counts: Counts = Counts()
    tally: dict[str, int] = {}
    totals: dict[str, Total] = {}
    groups: Total | None = None

    @property
    def adds_up(self) -> bool:
        """Whether each row that was read has one fate, and each accepted row is in the database."""
        fates = self.accepted + self.merged + self.not_selected + sum(self.set_aside.values())
        return self.read == fates and self.accepted == self.counts.rows


class Check(msgspec.Struct, frozen=True):
    """A figure that the database was asked for, and whether it is as it must be."""

    name: str
    found: str
    holds: bool


class Report(msgspec.Struct, kw_only=True):
    """An import from beginning to end. `unread_columns` and `unread_files` are of the folder, and in no step's mapping."""

    name: str
    dry_run: bool
    steps: list[Step]
    checks: list[Check] = []
    unread_columns: Mapping[str, tuple[str, ...]] = {}
    unread_files: tuple[str, ...] = ()

    @property
    def accepted(self) -> dict[str, int]:
        """Accepted rows by entity."""
        found: dict[str, int] = {}
        for step in self.steps:
            found[step.entity] = found.get(step.entity, 0) + step.accepted
        return found

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of them, by entity."""
        found: dict[str, Counts] = {}
        for step in self.steps:
            found[step.entity] = found.get(step.entity, Counts()) + step.counts
        return found

    @property
    def set_aside(self) -> int:
        return sum(sum(step.set_aside.values()) for step in self.steps)

    @property
    def holds(self) -> bool:
        """Whether every row is accounted for and every check holds."""
        return all(step.adds_up for step in self.steps) and all(check.holds for check in self.checks)
