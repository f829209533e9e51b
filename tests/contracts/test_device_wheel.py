"""One project, two wheels: the device's carries nothing of the server's."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER_ONLY = (
    "litestar",
    "sqlalchemy",
    "asyncpg",
    "aiosqlite",
    "alembic",
    "apscheduler",
    "uvicorn",
    "pysqlite3",
    "argon2",
    "xlsxwriter",
    "server",
)
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
for root in ("client_sdk", "sync_protocol"):
    package = importlib.import_module(root)
    assert package.__file__.startswith(sys.argv[2]), package.__file__
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        importlib.import_module(module.name)
"""


def build_wheel(project: Path, output: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output, project]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PIP_NO_INDEX": "1"})
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what wheels are made of, so that a build leaves nothing behind in the tree."""
    copy = tmp_path_factory.mktemp("source")
    for folder in ("server", "sync_protocol", "client_sdk", "packaging"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "pyproject.toml", *ROOT.glob("*.md"), *ROOT.glob("LICENSE*")):
        shutil.copyfile(file, copy / file.name)
    return copy


@pytest.fixture(scope="module")
def device_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(source / "packaging" / "client_sdk", tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def server_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("server"))


def top_level(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name.split("/")[0] for name in archive.namelist() if ".dist-info" not in name}


def modules(wheel: Path, package: str) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith(f"{package}/") and name.endswith(".py")}


def test_the_device_wheel_holds_no_server_source(device_wheel: Path) -> None:
    assert top_level(device_wheel) == {"client_sdk", "sync_protocol"}


def test_the_server_wheel_holds_all_three_packages(server_wheel: Path) -> None:
    assert top_level(server_wheel) == {"server", "client_sdk", "sync_protocol"}


def test_both_wheels_carry_the_same_protocol(device_wheel: Path, server_wheel: Path) -> None:
    assert modules(device_wheel, "sync_protocol") == modules(server_wheel, "sync_protocol") != set()


def test_every_module_of_the_device_wheel_imports_without_server_packages(device_wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(device_wheel) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-c", IMPORT_EVERYTHING, ",".join(SERVER_ONLY), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_device_asks_for_no_other_versions_than_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    device = tomllib.loads((ROOT / "packaging/client_sdk/pyproject.toml").read_text())["project"]
    assert set(device["dependencies"]) <= set(project["dependencies"])
    assert (device["version"], device["requires-python"]) == (project["version"], project["requires-python"])
