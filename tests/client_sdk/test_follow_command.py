"""`roadbook device follow` as a program: how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from server.runtime.database import Database
from tests.client_sdk.test_cli import closed_port
from tests.support.world import World

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("json", [(), ("--json",)])
async def test_ctrl_c_ends_it_quietly_and_as_done(sqlite_database: Database, tmp_path: Path, json: tuple[str, ...]) -> None:
    world = await World.found(sqlite_database)
    path = tmp_path / "device.db"
    async with await world.open_device(path) as device:
        await device.enrol(f"http://127.0.0.1:{closed_port()}", await world.code_for("rep0"), "tablet")

    # A shell lets what it starts in the background ignore Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def follow() -> tuple[str, str, int]:
        command = [sys.executable, "-m", "client_sdk", "--store", str(path), "follow", *json]
        with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout is not None
            first = running.stdout.readline()
            if json:
                first += running.stdout.readline()
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
            return first, said, running.returncode

    first, said, code = await anyio.to_thread.run_sync(follow)
    assert "SyncFailed" in first if json else "cannot be reached" in first
    assert (said, code) == ("", 0)
