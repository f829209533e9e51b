"""The import of a folder: every step of a mapping in turn, in chunks that are each a transaction.

Steps run in the order of the mapping, so a row is there before another refers to it and every commit is consistent. Ids
follow from the source, and rows that are there unchanged are not written: an import that was killed at any moment is
completed by running it again, and one that is complete changes nothing. Between the commits other writers get their
turn. What a chunk does not hold is what a device that syncs meanwhile does not see yet.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.integration.bulk import CHUNK_ROWS
from server.integration.mapping import Mapping
from server.integration.reconciliation import database_checks
from server.integration.recording import Landed, Recorder
from server.integration.refusals import SetAside
from server.integration.report import Report
from server.integration.sources import Asked, View
from server.integration.step import Accepted, Stepper
from server.integration.tables import INLINE, SourceError
from server.integration.values import Known
from server.runtime.clock import Clock, IdSource, SystemClock
from server.runtime.database import Database, WriteSession

Progress = Callable[[str, int, int], None]
_Writing = Callable[[], AbstractAsyncContextManager[WriteSession]]
_SYSTEM: Final = SystemClock()
_NOTHING: Final[Known] = MappingProxyType({})


class _DryRunEnds(Exception):  # noqa: N818  # it is no error: it rolls the transaction of a dry run back
    """The end of a dry run."""


async def import_folder(
    database: Database,
    folder: Path,
    mapping: Mapping,
    *,
    dry_run: bool = False,
    on_progress: Progress = lambda _step, _done, _total: None,
    on_set_aside: Callable[[SetAside], None] = lambda _row: None,
    clock: Clock = _SYSTEM,
) -> Report:
    """Bring the folder's rows into the database. `on_progress` is told the step, the rows done and about how many there are;
    `on_set_aside` is called on the thread that reads.

    A dry run does all of it in one transaction that is rolled back; on SQLite other writers wait for it.
    Raises MappingError and SourceError before anything is written, RefusedRowsError where the database disagrees.
    """
    asked: Asked = {}
    recorder = Recorder(IdSource(clock).new(), mapping.name)

    def set_aside(row: SetAside) -> None:
        recorder.set_aside(row)
        on_set_aside(row)

    before: dict[str, dict[str, UUID | None]] = {}
    steps = steps_of(folder, mapping, asked, set_aside, before)
    report = Report(name=mapping.name, dry_run=dry_run, steps=[step.report for step in steps])
    report.unread_columns, report.unread_files = _unread(folder, asked)
    if not dry_run:
        async with database.write() as session:
            await recorder.begin(session, clock.now_ms())
            before |= await recorder.rows_before(session, mapping.references())
        await _run(steps, recorder, database.write, on_progress)
        async with database.write() as session:
            report.checks = await database_checks(session, report)
            await recorder.end(session, report, clock.now_ms())
        return report
    try:
        async with database.write() as session:
            await recorder.begin(session, clock.now_ms())
            before |= await recorder.rows_before(session, mapping.references())
            await _run(steps, recorder, lambda: nullcontext(session), on_progress)
            report.checks = await database_checks(session, report)
            raise _DryRunEnds  # noqa: TRY301  # leaving the block in any other way would commit
    except _DryRunEnds:
        return report


def steps_of(
    folder: Path, mapping: Mapping, asked: Asked, on_set_aside: Callable[[SetAside], None], before: Known = _NOTHING
) -> list[Stepper]:
    """The steps of a mapping, in their order, each checked. `before` are the rows of earlier runs, and may come until a step runs.

    Raises MappingError, SourceError.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; give the folder that holds the files of the mapping")
    accepted: Accepted = {}
    return [
        Stepper(
            source_name=mapping.name,
            currency=mapping.currency,
            target=target,
            place=f"targets[{number}]",
            view=View(folder, mapping, target.source, asked),
            accepted=accepted,
            before=before,
            on_set_aside=on_set_aside,
        )
        for number, target in enumerate(mapping.complete())
    ]


def _unread(folder: Path, asked: Asked) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    columns = {file: tuple(name for name, used in given.items() if not used) for file, given in asked.items() if file != INLINE}
    return columns, tuple(sorted(path.name for path in folder.glob("*.csv") if path.name not in asked))


async def _run(steps: list[Stepper], recorder: Recorder, writing: _Writing, on_progress: Progress) -> None:
    about = [step.view.count() for step in steps]
    total, before = sum(about), 0
    while steps:
        # Taken off the list, so that what a step has in memory goes with it.
        step, expected = steps.pop(0), about.pop(0)
        label = f"{step.target.entity} from {step.view.file}"
        on_progress(label, before, total)
        async with aclosing(_ahead(_chunks(step.records()))) as chunks:
            async for chunk in chunks:
                async with writing() as session:
                    step.report.counts += await recorder.write(session, step.kind, step.view.file, chunk)
                on_progress(label, before + min(step.report.read, expected), total)
        async with writing() as session:
            await recorder.end_step(session, step.kind, step.view.file)
        before += expected
    on_progress("reconciliation", total, total)


_Chunk = list[Landed]


def _chunks(records: Iterator[Landed]) -> Iterator[_Chunk]:
    while chunk := list(itertools.islice(records, CHUNK_ROWS)):
        yield chunk


async def _ahead(chunks: Iterator[_Chunk]) -> AsyncGenerator[_Chunk, None]:
    """The chunks, each made on another thread while the one before is written: one is ahead, never more."""
    coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            yield chunk
    finally:
        # Where the writing failed: a thread cannot be interrupted, and must not outlive the import.
        await asyncio.wait([coming])
