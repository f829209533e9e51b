"""Real processes for tests: the server and devices. Each is its own process and ends by SIGKILL, or politely.

`ServerProcess.start` runs the command that an operator runs. Where a test kills dozens of servers, `start_warm` saves
the two seconds of imports: the process is forked from an interpreter that has imported the server, and does the same.
So does `roadbook`; tests/server/test_command_line.py starts the command itself.
"""

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from server.__main__ import main
from server.settings import PREFIX

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 180
STOP_SECONDS_MAX = 60
SOAK_VARIABLE = "ROADBOOK_SOAK_SECONDS"
_PORTS = (20_000, 32_000)  # below those that the kernel gives to clients: nobody takes the port of a killed server

_warm = multiprocessing.get_context("forkserver")
_warm.set_forkserver_preload(["server.app", "server.__main__", "client_sdk", "tests.support.processes"])


class ProcessFailedError(AssertionError):
    """A process that should run does not; the message ends with what it said last."""


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.randint(*_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def soak_seconds() -> float:
    """How much longer than their count the kill tests go on."""
    return float(os.environ.get(SOAK_VARIABLE, "0"))


def chaos_runs() -> int:
    """How many runs of chaos are asked for."""
    return int(os.environ.get("ROADBOOK_CHAOS_RUNS", "1"))


def environment(**settings: object) -> dict[str, str]:
    """The environment of a server: ours without its settings, and these."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return ours | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}


def roadbook(*arguments: str | Path, database_url: str, **settings: object) -> str:
    """Run a command of the real command line to its end, in a process of its own, and return what it prints."""
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        said, told = Path(folder, "stdout"), Path(folder, "stderr")
        process = _started(_command, str(said), str(told), environment(database_url=database_url, **settings), words)
        process.join()
        exit_code = process.exitcode
        process.close()
        if exit_code != 0:
            raise ProcessFailedError(f"roadbook {' '.join(words)}: {said.read_text()[-2_000:]}{told.read_text()[-2_000:]}")
        return said.read_text()


class ServerProcess:
    """The server of a database. It keeps its port when it is started again. The log has everything that it ever said."""

    def __init__(self, database_url: str, folder: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        self._settings = {"database_url": database_url, "port": self.port, "images_url": folder / "images", **settings}
        self._process: subprocess.Popen[bytes] | BaseProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def start(self) -> None:
        """Start it as an operator does, and wait until it answers."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server", "serve"],
                cwd=ROOT,
                env=environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until_healthy()

    def start_warm(self) -> None:
        """Start it from an interpreter that has imported it already, and wait until it answers."""
        self._process = _started(_serve, str(self.log), environment(**self._settings))
        self._wait_until_healthy()

    def kill(self) -> None:
        """SIGKILL for the whole process group: nothing of it can tidy up."""
        assert self._process is not None
        assert self._process.pid is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGTERM)
        self._ended()

    def pause(self) -> None:
        """Freeze the whole process group where it is: its connections stay, and nobody answers on them."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.killpg(self._process.pid, number)

    def _ended(self) -> None:
        process, self._process = self._process, None
        if isinstance(process, BaseProcess):
            process.join(STOP_SECONDS_MAX)
            assert process.exitcode is not None, "the server does not end"
            process.close()
        elif process is not None:
            process.wait(STOP_SECONDS_MAX)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._is_running():
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                time.sleep(0.01)
        raise ProcessFailedError(f"the server does not answer: {self.said()[-3_000:]}")

    def _is_running(self) -> bool:
        process = self._process
        return process is not None and (process.exitcode if isinstance(process, BaseProcess) else process.poll()) is None

    def said(self) -> str:
        """All of its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class DeviceProcess:
    """A process that does `work` with arguments. It can be killed and started again; the log has what it said."""

    def __init__(self, work: Callable[..., None], log: Path, *arguments: object) -> None:
        self._work = work
        self._log = log
        self._arguments = arguments
        self._process: BaseProcess | None = None

    def start(self, *more: object) -> None:
        """Start it, with further arguments for this time."""
        self._process = _started(_run, str(self._log), self._work, *self._arguments, *more)

    def kill(self) -> None:
        """SIGKILL. Where it had ended by itself it had failed, and that is raised."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.join()
        exit_code = process.exitcode
        process.close()
        if exit_code != -signal.SIGKILL:
            raise ProcessFailedError(f"the device ended by itself: {self._log.read_text(errors='replace')[-3_000:]}")

    def pause(self) -> None:
        """Freeze it where it is, as a laptop that is closed does."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def join(self) -> None:
        """Wait for its own end, which must be a good one."""
        process, self._process = self._process, None
        assert process is not None
        process.join(START_SECONDS_MAX)
        exit_code = process.exitcode
        if exit_code is None:
            process.kill()
            process.join()
        process.close()
        if exit_code != 0:
            raise ProcessFailedError(f"the device ended with {exit_code}: {self._log.read_text(errors='replace')[-3_000:]}")


def _started(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = _warm.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def _say_into(log: str, errors: str | None = None) -> None:
    for number, file in ((1, log), (2, errors or log)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)


def _use(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(variables)


def _serve(log: str, variables: Mapping[str, str]) -> None:
    os.setsid()
    _say_into(log)
    _use(variables)
    main(["serve"])


def _command(said: str, told: str, variables: Mapping[str, str], words: list[str]) -> None:
    _say_into(said, told)
    _use(variables)
    os.chdir(ROOT)
    main(words)


def _run(log: str, work: Callable[..., None], *arguments: object) -> None:
    os.setsid()
    _say_into(log)
    work(*arguments)
