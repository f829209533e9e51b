"""What the documents say is so: their code runs, what they name exists, and what must be in them is."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest
import sqlalchemy as sa
from anyio import run_process

import server.__main__ as command_line
from client_sdk.cli import device
from server.changelog.log import read_head
from server.customers.handover import DAYS_AHEAD_MAX
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.errors import ProblemError
from server.runtime.instants import milliseconds
from server.runtime.slices import BODY_SECONDS_KEY
from server.settings import PREFIX, Settings
from server.sync import errors as sync_errors
from server.sync.pull import PAGE_BYTES_MAX
from server.sync.push import FAILURES_MAX
from server.sync.routes import PULL_BYTES_MAX, PUSH_BYTES_MAX
from server.sync.routes import ROUTES as SYNC_ROUTES
from server.sync.routes import push as sync_push
from server.web.problems import _CODES
from server.web.requests import BODY_BYTES_MAX, BODY_SECONDS_MAX
from sync_protocol.entities import SYNCED, Bucket
from sync_protocol.entities.catalog import Product
from sync_protocol.intents import INTENTS, LINES_MAX, ManualPrice, QuotedGift, RequestedLine, WantedQuoteLine
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX
from sync_protocol.verdicts import REMEDIES, Change, Code, Verdict
from sync_protocol.wire import codec, messages
from sync_protocol.wire.codec import FRAME_BYTES_MAX
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION, RULES_VERSION
from tests.support.processes import ServerProcess
from tests.support.world import World

ROOT = Path(__file__).parents[2]
GUIDES = ("ARCHITECTURE", "PROTOCOL", "PRICING", "INVARIANTS", "STYLE", "OPERATIONS", "IMPORT")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *DECISIONS]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
README, PROTOCOL, OPERATIONS = TEXTS["README.md"], TEXTS["docs/PROTOCOL.md"], TEXTS["docs/OPERATIONS.md"]
ARCHITECTURE, INVARIANTS = TEXTS["docs/ARCHITECTURE.md"], TEXTS["docs/INVARIANTS.md"]
PARTS = (
    *(messages.PullPosition, messages.BucketCheck, messages.IntentEnvelope, messages.PushResult, messages.RangeCheck),
    *(messages.BucketRange, messages.ImageOffer, messages.PurgeReceipt, messages.Proof, messages.StallReport),
    *(Verdict, Change, RequestedLine, ManualPrice, QuotedGift, WantedQuoteLine),
)
STRUCTS = (*messages.MESSAGES, *PARTS)
every_document = pytest.mark.parametrize("name", TEXTS)
every_decision = pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading!r}"
    return found[1]


def table(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    rows = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert rows, "there is no table"
    return [[cell.strip() for cell in line.strip("|\n ").split(" | ")] for line in rows[0].splitlines()[2:]]


def code_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def subclasses(kind: type[ProblemError]) -> Iterator[type[ProblemError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def problems() -> dict[str, int]:
    """Every code that a problem can have, with its status."""
    ours = {each.code: each.status for each in (ProblemError, *subclasses(ProblemError)) if each.__module__.startswith("server.")}
    return ours | {code: int(status) for status, (code, _) in _CODES.items()}


async def test_the_code_of_the_readme_takes_an_order_and_prints_its_verdict(
    sqlite_database: Database, sqlite_database_url: str, tmp_path: Path
) -> None:
    world = await World.found(sqlite_database)
    world.clock.time_ms = SystemClock().now_ms()
    await world.change(Product, world.company.products[0].id, name="Elbow 90°, press 22 mm")
    (block,) = blocks(README, "python")
    with ServerProcess(sqlite_database_url, tmp_path) as running:
        running.start()
        script = block.replace("http://127.0.0.1:8321", running.url).replace("7K3M-92QF-XV0B", await world.code_for("rep0"))
        assert running.url in script
        command = [sys.executable, "-c", script]
        done = await run_process(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert (done.stdout.decode(), done.stderr.decode()) == ("R1-000001 accepted\n", "")
    assert "It prints `R1-000001 accepted`" in README


def test_the_readme_says_what_it_is_and_how_to_begin_on_the_first_lines() -> None:
    title, _, sentence, *_ = README.splitlines()
    assert title.startswith("# ")
    assert re.fullmatch(r"\*[^*]+\.\*", sentence)
    begin = [line for line in README.splitlines()[:10] if line.startswith("make ")]
    assert [line.split()[1] for line in begin] == ["demo", "test"]


def test_the_map_names_the_folders_that_are_there() -> None:
    (drawn,) = blocks(section(README, "The map"), "")
    folders = [line.split("/")[0] for line in drawn.splitlines()]
    assert len(folders) == 6
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


@every_document
def test_every_command_of_make_that_it_names_exists(name: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|&& )make ([a-z]+)", TEXTS[name], re.MULTILINE)) <= targets


def commands(text: str) -> Iterator[list[str]]:
    """Every `roadbook …` in a block or in back quotes, as a shell would split it."""
    shell = [line for block in blocks(text, "sh") for line in re.split(r"\n|&& ", block)]
    for line in [*shell, *code_of(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))]:
        words = shlex.split(line.rstrip("& "), comments=True) if line.startswith("roadbook ") else []
        if words and re.fullmatch(r"[a-z-]+", words[1]):
            yield words[1:]


def fault_of(words: Iterable[str], group: click.Command) -> str | None:
    """The first word that means nothing to the command line, or None."""
    command = group
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in {*known, "--help"}:
            return word
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = device if word == "device" else command.get_command(click.Context(command), word)
            if found is None:
                return word
            command = found
            known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return None


@every_document
def test_every_command_of_roadbook_that_it_names_exists(name: str) -> None:
    faults = {" ".join(words): fault_of(words, command_line.main) for words in commands(TEXTS[name])}
    assert {command: fault for command, fault in faults.items() if fault is not None} == {}


def test_every_time_that_is_shown_for_a_handover_can_be_given_on_the_day_that_it_is_read() -> None:
    group = command_line.main.commands["handovers"]
    assert isinstance(group, click.Group)
    shown = [*TEXTS.values(), *(command.epilog or "" for command in group.commands.values())]
    times = [time for text in shown for time in re.findall(r"roadbook handovers .*--at ([^\"\s]+|\"[^\"]*\")$", text, re.MULTILINE)]
    assert len(times) >= 2
    now_ms = SystemClock().now_ms()
    for time in times:
        said = subprocess.run(["/bin/sh", "-c", f"printf %s {time}"], capture_output=True, text=True, check=True).stdout
        assert now_ms < milliseconds(datetime.fromisoformat(said)) < now_ms + DAYS_AHEAD_MAX * 86_400_000, said


def test_the_documents_show_the_commands_that_a_newcomer_needs() -> None:
    shown = {words[0] for words in commands(README)}
    assert {"migrate", "serve", "import", "users", "devices", "device"} <= shown


@every_document
def test_every_link_leads_somewhere(name: str) -> None:
    broken = [
        link
        for link in re.findall(r"\]\(([^)]+)\)", TEXTS[name])
        if not link.startswith("https://") and not leads_somewhere((ROOT / name).parent, ROOT / name, link)
    ]
    assert broken == []


def leads_somewhere(folder: Path, itself: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = folder / path if path else itself
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_every_path_that_it_names_exists(name: str) -> None:
    entries = {path.name for path in ROOT.iterdir()}
    named = re.findall(r"`([\w.][\w./-]*)`", TEXTS[name])
    assert [each for each in named if "/" in each and each.split("/")[0] in entries and not (ROOT / each).exists()] == []


@every_document
def test_every_variable_that_it_names_is_read_somewhere(name: str) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.__struct_fields__}
    sources = [path for folder in ("server", "client_sdk", "tests/support") for path in (ROOT / folder).rglob("*.py")]
    read = known | {found for path in sources for found in re.findall(r"\"(ROADBOOK_\w+)\"", path.read_text())}
    assert set(re.findall(r"ROADBOOK_[A-Z_]+", TEXTS[name])) <= read


@every_document
def test_it_names_no_place_of_a_machine_and_no_line(name: str) -> None:
    assert re.findall(r"/(?:home|work|root|tmp|Users)/|\.(?:py|md|toml):\d+|\blines? \d+\b", TEXTS[name]) == []


def test_every_verdict_has_a_section_in_order_of_precedence_with_its_remedy() -> None:
    headings = re.findall(r"^### `(\w+)`$", PROTOCOL, re.MULTILINE)
    assert headings == [str(code) for code in Code]
    for code in Code:
        said = " ".join(section(PROTOCOL, f"`{code}`").split())
        assert re.match(r"\*(?:Rejected|Held|Changed)\.\* \S", said)
        assert said.endswith(f"*Remedy:* {REMEDIES[code]}")


def test_every_problem_has_its_line_with_its_status() -> None:
    listed = {code_of(code)[0]: int(status) for code, status, _ in table(section(OPERATIONS, "Troubleshooting"))}
    assert listed == problems()


def test_every_problem_of_sync_is_in_the_protocol() -> None:
    statuses = re.findall(r"^\| (\d{3}) \| (.*?) \|", section(PROTOCOL, "Endpoints"), re.MULTILINE)
    listed = {code: int(status) for status, codes in statuses for code in code_of(codes)}
    assert listed.items() <= problems().items()
    ours = {each.code for _, each in inspect.getmembers(sync_errors, inspect.isclass) if each.__module__ == sync_errors.__name__}
    assert ours <= listed.keys()


def test_the_endpoints_are_those_of_the_server() -> None:
    assert {code_of(path)[0] for path, *_ in table(section(PROTOCOL, "Endpoints"))} == {
        path for route in SYNC_ROUTES for path in route.paths
    }


def bucket_text(bucket: Bucket) -> str:
    return f"`{bucket.kind}`" if bucket.key is None else f"`{bucket.kind}:` and `{bucket.key}`"


def test_the_table_of_entities_is_the_registry() -> None:
    listed = [
        (int(number), code_of(name)[0], bucket, tuple(code_of(columns)))
        for number, name, bucket, columns in table(section(PROTOCOL, "Entities"))
    ]
    assert listed == [(each.number, each.name, bucket_text(each.bucket), each.row.__struct_fields__) for each in SYNCED]
    kinds = {code_of(bucket)[0].rstrip(":") for bucket, *_ in table(section(PROTOCOL, "Buckets"))}
    assert kinds == {each.bucket.kind for each in SYNCED}


@pytest.mark.parametrize(
    ("heading", "is_listed"),
    [
        ("Columns since version 3", lambda field: codec._since(field) == 3),
        ("Columns that may be nil", lambda field: type(None) in get_args(field.type)),
    ],
)
def test_the_columns_that_are_listed_are_those_of_the_rows(
    heading: str, is_listed: Callable[[msgspec.structs.FieldInfo], bool]
) -> None:
    listed = {code_of(entity)[0]: code_of(names) for entity, names in table(section(PROTOCOL, heading))}
    found = {each.name: [field.name for field in msgspec.structs.fields(each.row) if is_listed(field)] for each in SYNCED}
    assert listed == {name: fields for name, fields in found.items() if fields}


def test_the_values_of_enumerations_are_those_of_the_rows() -> None:
    listed = {tuple(code_of(column)): set(code_of(values)) for column, values in table(section(PROTOCOL, "Types of columns"))}
    seen = set()
    for synced in SYNCED:
        for column, kind in codec._enum_fields(synced.row):
            name = next(each for each in ((column, synced.name), (column,)) if each in listed)
            assert listed[name] == {str(member) for member in kind}, name
            seen.add(name)
    assert seen == listed.keys()


@pytest.mark.parametrize("struct", [*STRUCTS, *INTENTS], ids=lambda struct: struct.__name__)
def test_the_fields_of_a_message_are_its_own_in_their_order(struct: type[msgspec.Struct]) -> None:
    listed = {code_of(field)[0]: kind for field, kind, *_ in table(section(PROTOCOL, struct.__name__))}
    assert tuple(listed) == struct.__struct_fields__
    optional = {each.name for each in msgspec.structs.fields(struct) if not each.required}
    assert {field for field, kind in listed.items() if "default" in kind} == optional


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("100, and 8 MiB in all", (messages.BATCH_INTENTS_MAX, PUSH_BYTES_MAX)),
        ("1 MiB", (messages.INTENT_BYTES_MAX,)),
        ("1 to 2 000", (LINES_MAX,)),
        ("10¹⁵ minor units", (ORDER_TOTAL_MINOR_MAX,)),
        ("8 MiB", (PULL_BYTES_MAX,)),
        ("2 MiB", (BODY_BYTES_MAX,)),
        ("600 seconds, to enrol 30 seconds", (sync_push.opt[BODY_SECONDS_KEY], BODY_SECONDS_MAX)),
        ("50 000, and about 4 MiB compressed", (messages.PAGE_ROWS_MAX, PAGE_BYTES_MAX)),
        ("16 MiB", (FRAME_BYTES_MAX,)),
        ("100 000", (messages.BUCKETS_MAX,)),
        ("5", (FAILURES_MAX,)),
        ("90 days, unless set otherwise", (Settings().retention_days,)),
    ],
)
def test_the_limits_are_those_of_the_code(said: str, limit: tuple[int, ...]) -> None:
    units = {"KiB": 1024, "MiB": 1024**2}
    numbers = re.findall(r"(\d[\d ]*\d|\d)(¹⁵)?(?: (KiB|MiB))?", said)
    assert [10**15 if power else int(text.replace(" ", "")) * units.get(unit, 1) for text, power, unit in numbers][
        -len(limit) :
    ] == [*limit]
    assert said in {row[1] for row in table(section(PROTOCOL, "Limits"))}


def test_the_table_of_settings_is_the_struct() -> None:
    rows = table(section(OPERATIONS, "Settings"))
    listed = {code_of(variable)[0]: "".join(code_of(default)) for variable, default, _ in rows}
    given = {each.name: each.default for each in msgspec.structs.fields(Settings)}
    assert listed == {
        f"{PREFIX}{name.upper()}": str(default).lower() if isinstance(default, bool) else str(default)
        for name, default in given.items()
    }


async def test_a_backup_by_the_command_of_the_guide_is_whole(sqlite_database: Database, tmp_path: Path) -> None:
    await World.found(sqlite_database)
    (line,) = [line for block in blocks(OPERATIONS, "sh") for line in block.splitlines() if "VACUUM INTO" in line]
    program, *arguments = shlex.split(line)
    assert program == ".venv/bin/python"
    await run_process([sys.executable, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    backup = Database(f"sqlite:///{tmp_path / 'backup.db'}")
    async with backup.read() as copied, sqlite_database.read() as original:
        assert await read_head(copied) == await read_head(original)
        counted = sa.text("SELECT count(*) FROM price_entry")
        assert (await copied.execute(counted)).scalar() == (await original.execute(counted)).scalar()
    await backup.close()


def test_the_path_of_an_order_has_eight_steps_that_each_name_a_file() -> None:
    steps = re.split(r"^\d\. ", section(ARCHITECTURE, "The path of an order"), flags=re.MULTILINE)[1:]
    assert len(steps) == 8
    assert all(re.search(r"`\w+/[\w/]+\.py`", step) for step in steps)


def test_every_invariant_has_its_section_and_no_other_is_cited() -> None:
    headings = re.findall(r"^### (I-\d+) \S", INVARIANTS, re.MULTILINE)
    assert headings == [f"I-{number}" for number in range(1, 10)]
    sources = [path for folder in ("server", "client_sdk", "sync_protocol", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert {cited for path in sources for cited in re.findall(r"\bI-\d+\b", path.read_text())} <= set(headings)
    for heading in re.findall(r"^### (I-\d+ .*)$", INVARIANTS, re.MULTILINE):
        said = " ".join(section(INVARIANTS, heading).split())
        assert [part for part in ("- *Asserted:* ", "- *Held by:* ", "- *Not covered:* ") if part not in said] == []


@every_decision
def test_a_decision_is_one_screen_that_ends_in_what_enforces_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
    assert re.match(rf"# {path.name[:4]} \S.*\n\nStatus: \w+ · Date: \d{{4}}-\d\d-\d\d\n", text)
    assert len(text.splitlines()) <= 50
    quoted = " ".join(line.removeprefix("> ") for line in section(text, "Decision").split("\n") if line)
    assert re.fullmatch(r"[^.]+(?:\.\w+[^.]*)*\.", quoted), "one sentence"
    assert re.search(r"`[\w./]+`", section(text, "Enforced by"))
    assert f"decisions/{path.name}" in ARCHITECTURE


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


def test_the_changelog_names_the_versions_that_are_spoken() -> None:
    spoken = f"Protocol {PROTOCOL_VERSION} · oldest protocol served {OLDEST_PROTOCOL_SERVED} · rules {RULES_VERSION}"
    assert re.search(rf"^## \[[^\]]+\].*\n\n{spoken}$", TEXTS["CHANGELOG.md"], re.MULTILINE)


def test_the_guides_are_the_five_of_the_design_that_of_prices_and_that_of_imports() -> None:
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} == set(GUIDES)
