"""Ratchets: limits that a change may tighten, and that nobody has to remember."""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("server", "sync_protocol", "client_sdk")
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN_MAX = 10
MODULE_LINES_MAX = 400
MODULE_LINES_MEDIAN_MAX = 150
TOP_LEVEL_ENTRIES_MAX = 16
REVISIONS = ROOT / "server" / "migrations" / "versions"
CLOCKS = {"server/runtime/clock.py", "client_sdk/clock.py"}
OF_THE_MACHINE = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"),
    *("uuid.uuid1", "uuid.uuid4", "uuid4", "uuid1", "time_ns"),
}
EDGES = {"server/runtime/database.py"}
LOCKS = ("packaging/requirements.lock", "packaging/requirements-dev.lock")


@cache
def tracked() -> tuple[str, ...]:
    """The files of the repository, and those that are about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return tuple(path for path in listed.stdout.splitlines() if (ROOT / path).exists())


def modules() -> list[Path]:
    """Every module that ships, but for the revisions, which are history."""
    paths = (ROOT / path for path in tracked() if path.startswith(PACKAGES) and path.endswith(".py"))
    return [path for path in paths if path.parent != REVISIONS]


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


@cache
def functions() -> dict[str, int]:
    """How many lines each function has, its signature and docstring with it."""
    return {
        f"{name(path)} {node.name} {node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for path in modules()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def comments(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def all_python() -> list[Path]:
    return [ROOT / path for path in tracked() if path.endswith(".py")]


def documents() -> list[Path]:
    return [ROOT / path for path in tracked() if path == "README.md" or (path.startswith("docs/") and path.endswith(".md"))]


def test_no_function_is_long() -> None:
    assert {where: lines for where, lines in functions().items() if lines > FUNCTION_LINES_MAX} == {}


def test_most_functions_are_short() -> None:
    assert statistics.median(functions().values()) <= FUNCTION_LINES_MEDIAN_MAX


def test_no_module_is_long() -> None:
    assert {name(path): lines_of(path) for path in modules() if lines_of(path) > MODULE_LINES_MAX} == {}


def test_most_modules_are_short() -> None:
    assert statistics.median(lines_of(path) for path in modules()) <= MODULE_LINES_MEDIAN_MAX


def test_every_suppression_carries_its_reason() -> None:
    suppression = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)\b")
    bare = [(name(path), comment) for path in all_python() for comment in comments(path) if suppression.match(comment)]
    assert [(where, comment) for where, comment in bare if not re.search(r"\S\s+#\s*\S", comment)] == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    later = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    assert [(name(path), comment) for path in all_python() for comment in comments(path) if later.search(comment)] == []


def test_only_the_edge_commits() -> None:
    calls = [
        f"{name(path)} {node.lineno}"
        for path in modules()
        if name(path).startswith("server/") and name(path) not in EDGES
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]
    assert calls == []


def test_only_clocks_ask_the_machine_for_time_and_chance() -> None:
    asked = [
        f"{name(path)} {node.lineno} {ast.unparse(node)}"
        for path in modules()
        if name(path) not in CLOCKS
        for node in nodes(path)
        if isinstance(node, ast.Attribute | ast.Name) and ".".join(ast.unparse(node).split(".")[-2:]) in OF_THE_MACHINE
    ]
    assert asked == []


def test_the_top_of_the_tree_is_small() -> None:
    assert len({path.split("/")[0] for path in tracked()}) <= TOP_LEVEL_ENTRIES_MAX


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_versions_and_hashes_alone(lock: str) -> None:
    requirement = re.compile(r"[a-z0-9-]+==[\w.+]+(?: ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?")
    assert [line for line in (ROOT / lock).read_text().splitlines() if not requirement.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_has_what_the_project_asks_for(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + (project["optional-dependencies"]["dev"] if "dev" in lock else [])
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    assert {re.match(r"[\w.-]+", each)[0].replace(".", "-") for each in asked} <= set(locked)


def test_tests_run_on_the_versions_that_ship() -> None:
    shipped, tested = (set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS)
    assert shipped <= tested


def test_imports_point_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([program, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout[-4000:]


def test_every_path_that_a_document_names_exists() -> None:
    entries = {path.split("/")[0] for path in tracked()}
    missing = [
        f"{name(document)}: {path}"
        for document in documents()
        for path in re.findall(r"`([\w.][\w./-]*)`", document.read_text())
        if path.split("/")[0] in entries and ("/" in path or "." in path) and not (ROOT / path).exists()
    ]
    assert missing == []


def test_no_document_names_a_line_number() -> None:
    numbered = re.compile(r"\.\w{2,4}:\d+|#L\d+|\blines? \d+\b")
    found = [f"{name(path)}: {hit}" for path in documents() for hit in numbered.findall(path.read_text())]
    assert found == []
