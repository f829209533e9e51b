"""The command line: what it prints, and how it fails."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from server.__main__ import ProxyAddresses, main
from server.runtime.database import engine_url


class Terminal:
    """Runs commands against one database."""

    def __init__(self, database_url: str) -> None:
        self.environment = {"ROADBOOK_DATABASE_URL": database_url, "ROADBOOK_PASSWORD": "long enough"}

    def run(self, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(main, arguments, env={**self.environment, **environment})

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def terminal(sqlite_database_url: str) -> Terminal:
    return Terminal(sqlite_database_url)


def commands(group: click.Group, prefix: str = "") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        found.append((f"{prefix}{name}", command))
        if isinstance(command, click.Group):
            found += commands(command, f"{prefix}{name} ")
    return found


@pytest.mark.parametrize(("name", "command"), commands(main), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help, name
    assert "Example" in (command.epilog or ""), name
    assert f"roadbook {name.split(maxsplit=1)[0]}" in (command.epilog or "")


def test_users_are_added_listed_and_deactivated(terminal: Terminal) -> None:
    assert "added mia (manager)" in terminal.done("users", "add", "Mia", "--name", "Mia Brandt", "--role", "manager")
    (user,) = json.loads(terminal.done("users", "list", "--json"))
    assert (user["login"], user["name"], user["role"], user["active"]) == ("mia", "Mia Brandt", "manager", True)
    assert "Mia Brandt" in terminal.done("users", "list")
    terminal.done("users", "password", "mia")
    terminal.done("users", "deactivate", "mia")
    assert json.loads(terminal.done("users", "list", "--json"))[0]["active"] is False


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("users", "add", "x", "--name", "X", "--role", "owner"), 2, "owner"),
        (("users", "add", "x", "--name", "X", "--role", "rep"), 1, "--rep is missing"),
        (("users", "add", "x", "--name", "X", "--role", "rep", "--rep", "R-99"), 1, "R-99"),
        (("users", "add", "x", "--name", "X", "--role", "manager", "--password", "short"), 2, "8 to 256"),
        (("users", "password", "nobody"), 1, "no user nobody"),
        (("devices", "code", "nobody"), 1, "no user nobody"),
        (("devices", "revoke", "x", "--reason", "lost"), 2, "UUID"),
        (("devices", "revoke", "00000000-0000-0000-0000-000000000000", "--reason", "lost"), 1, "no device"),
        (("serve", "--port", "99999"), 2, "99999"),
        *(
            (("serve", "--workers", "2", "--behind-proxy", given), 2, f"{wrong!r} is no IP address")
            for given, wrong in (("nonsense", "nonsense"), ("", ""), ("10.0.0.5, proxy", "proxy"), ("10.0.0.5/24", "10.0.0.5/24"))
        ),
        (("unknown",), 2, "unknown"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    terminal: Terminal, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    result = terminal.run(*arguments)
    assert result.exit_code == exit_code
    error = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(error) == 1
    assert words in error[0]
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://x/y", "nonsense", "sqlite:////nowhere/at/all.db", "sqlite://", "sqlite:///", "sqlite://host/x"),
        *("postgresql://x@127.0.0.1:1/y", "postgresql://x@127.0.0.1:99999/y", "postgresql://x@h:port/y", "postgresql://a:b@[::1"),
        f"postgresql://{'x' * 100}/y",
    ],
)
def test_a_database_that_cannot_be_used_is_named(terminal: Terminal, url: str) -> None:
    result = terminal.run("users", "list", ROADBOOK_DATABASE_URL=url)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "DATABASE_URL" in result.stderr or url in result.stderr


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("sqlite:///file::memory:?cache=shared&uri=true", "names no file"),
        ("sqlite:///file:x.db?mode=memory&uri=true", "names no file"),
        ("sqlite:///x.db?mode=memory", "has a query, which a file has not"),
        ("sqlite:///x.db?nonsense=secret", "has a query, which a file has not"),
        ("postgresql://u:secret@h/x?foo=secret", "takes in its query only host, "),
        ("postgresql://u:secret@h/x?sslmode=require", "takes in its query only host, "),
        ("postgresql://u@h/x?password=secret", "takes in its query only host, "),
        ("postgresql://u:secret@h/x?ssl=secret", "is to have as ssl disable, allow, prefer, require, verify-ca or verify-full"),
        ("postgresql://u@h/x?ssl=require&ssl=require", "is to have as ssl "),
        ("postgresql://u@h/x?passfile=secret&passfile=secret", "has passfile twice"),
        ("postgresql://u@h/x?port=65536", "is to have as port a whole number up to 65535"),
        ("postgresql://u@h/x?prepared_statement_cache_size=secret", "is to have as prepared_statement_cache_size a whole number"),
    ],
)
def test_a_database_in_memory_or_with_a_query_that_its_driver_does_not_take_is_refused(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = terminal.run("migrate", ROADBOOK_DATABASE_URL=url)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: ROADBOOK_DATABASE_URL {fault}"), refused.stderr
    assert "secret" not in refused.stderr
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize("query", ["ssl=disable", "ssl=verify-full&target_session_attrs=read-write", "host=/tmp/socket&port=5433"])
def test_what_postgresqls_driver_takes_in_a_query_is_served(query: str) -> None:
    given = engine_url(f"postgresql://u@/x?{query}")
    assert "&".join(f"{key}={value}" for key, value in given.query.items()) == query


@pytest.mark.parametrize("url", ["postgresql://user:secret/x", "postgresql://user:77665544@[::1", "postgresql://user:77665544/x"])
def test_what_may_hold_a_password_is_not_repeated(terminal: Terminal, url: str) -> None:
    refused = terminal.run("users", "list", ROADBOOK_DATABASE_URL=url)
    assert refused.exit_code == 1
    assert "ROADBOOK_DATABASE_URL has a port" in refused.stderr
    assert "it takes sqlite:///path or postgresql://user:password@host:port/name" in refused.stderr
    assert "secret" not in refused.stderr
    assert "7766" not in refused.stderr


@pytest.mark.parametrize("place", ["http://x", "https://h/b", "gs://bucket/x", "file:///x", "s3:bucket", "s3:///prefix", "S3://b"])
def test_images_are_in_a_folder_or_in_a_bucket_and_no_folder_is_made_of_another_address(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refused = Terminal(database_url).run("images", "build", ROADBOOK_IMAGES_URL=place)
    assert refused.exit_code == 1
    assert (
        refused.stderr
        == f"Error: ROADBOOK_IMAGES_URL is {place!r}; it takes a folder whose name is no address, or s3://bucket/prefix\n"
    )
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("given", ["10.0.0.5", "::1", "10.0.0.0/24", "10.0.0.5, fd00::/8"])
def test_a_proxy_is_named_by_its_address_or_its_network(given: str) -> None:
    assert ProxyAddresses().convert(given, None, None) == given


@pytest.mark.parametrize("given", ["", " "])
def test_what_an_option_gives_is_refused_by_its_name_and_in_the_words_of_its_variable(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    takes = "it takes a host name or an address, such as 127.0.0.1"
    monkeypatch.setenv("ROADBOOK_WORKERS", "1")  # the option sets it for this process
    refused = terminal.run("serve", "--host", given, "--workers", "2")  # two on SQLite: it ends, whatever it makes of the host
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1] == f"Error: Invalid value for '--host': it is {given!r}; {takes}"
    refused = terminal.run("serve", ROADBOOK_HOST=given)
    assert (refused.exit_code, refused.stderr) == (1, f"Error: ROADBOOK_HOST is {given!r}; {takes}\n")


def test_a_host_that_is_no_name_is_one_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADBOOK_HOST", "127.0.0.1")  # the option sets it for this process
    terminal.done("migrate")
    refused = terminal.run("serve", "--host", "ü" * 100)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert "(no name and no address)" in refused.stderr


def test_a_code_is_for_a_rep_or_a_buyer(terminal: Terminal) -> None:
    terminal.done("users", "add", "mia", "--name", "Mia", "--role", "manager")
    result = terminal.run("devices", "code", "mia")
    assert result.exit_code == 1
    assert "reps and buyers" in result.stderr


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    terminal = Terminal(f"sqlite:///{tmp_path / 'fresh.db'}")
    refused = terminal.run("serve")
    assert refused.exit_code == 1
    assert "roadbook migrate" in refused.stderr
    first = terminal.done("migrate")
    assert re.search(r"revision \d{4}$", first.strip())
    assert terminal.done("migrate") == first


def test_a_server_starts_answers_refuses_a_second_one_and_stops(terminal: Terminal) -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = str(trial.getsockname()[1])
    environment = {**terminal.environment, "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [sys.executable, "-m", "server", "serve", "--port", port]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            with _answer(f"http://127.0.0.1:{port}/healthz") as response:
                assert response.status == 200
                assert "server" not in response.headers
            second = terminal.run("serve", "--port", port)
            assert second.exit_code == 1
            assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        finally:
            process.kill()


def _answer(url: str) -> urllib.request.addinfourl:
    for _ in range(100):
        try:
            return urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.1)
    return urllib.request.urlopen(url, timeout=5)
