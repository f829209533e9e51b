"""The demo's folder and its server: a real process that is started, stopped and started again."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

import httpx2

_MARKER: Final = ".roadbook-demo"
_MADE_HERE: Final = ("roadbook.db", "femke.db", "server.log")
_START_SECONDS_MAX: Final = 30
_STOP_SECONDS_MAX: Final = 15


class FolderNotOursError(Exception):
    """The folder holds something that the demo did not make, so the demo does not touch it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists and was not made by `roadbook demo`; choose another with --folder, or move it away")
        self.folder = folder


class ServerFailedError(Exception):
    """The server process did not come up; the message ends with the last lines of its log."""

    def __init__(self, cause: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        super().__init__("\n".join((f"the server did not start: {cause}; see {log}", *lines)))


class Premises:
    """A folder with the company's database, the server's log and the rep's device. Use it as a context: it stops the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "roadbook.db"
        self.device_store = folder / "femke.db"
        self.log = folder / "server.log"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_server()

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def server_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def server_pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def clear(self) -> None:
        """Make the folder, or empty one that the demo made before. Raises FolderNotOursError."""
        marker = self.folder / _MARKER
        if self.folder.exists() and not marker.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise FolderNotOursError(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        marker.write_text("`roadbook demo` made this folder and makes what is in it anew each time.\n")
        for name in _MADE_HERE:
            for path in self.folder.glob(f"{name}*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def start_server(self) -> float:
        """Start `roadbook serve` and wait until it is well; the seconds that took. Raises ServerFailedError."""
        began = time.monotonic()
        environment = {
            **os.environ,
            "ROADBOOK_DATABASE_URL": self.database_url,
            "ROADBOOK_HOST": "127.0.0.1",
            "ROADBOOK_PORT": str(self.port),
        }
        with self.log.open("ab") as log:
            # A session of its own: ctrl-C reaches the demo, which then stops its server in order.
            self._process = subprocess.Popen(
                (sys.executable, "-m", "server", "serve"), env=environment, stdout=log, stderr=log, start_new_session=True
            )
        while not self.is_well():
            if self._process.poll() is not None:
                raise ServerFailedError(f"it ended with {self._process.returncode}", self.log)
            if time.monotonic() - began > _START_SECONDS_MAX:
                raise ServerFailedError(f"it was not well within {_START_SECONDS_MAX} s", self.log)
            time.sleep(0.05)
        return time.monotonic() - began

    def is_well(self) -> bool:
        """Whether the server answers its health check."""
        try:
            return httpx2.get(f"{self.server_url}/healthz", timeout=2).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def stop_server(self) -> None:
        """Stop the server process, kindly first. Nothing happens where it is stopped already."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS_MAX)


def _free_port() -> int:
    """A port that nobody listens on now; the system does not hand it to another for a while."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
