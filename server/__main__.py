"""The command line: `roadbook`. Every error is one line; exit code 1 is a refusal or a failure, 2 a wrong command."""

import asyncio
import os
import socket
from importlib.metadata import EntryPoint, entry_points
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import click
import sqlalchemy as sa
import uvicorn
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

import server.app
from server.changelog.log import rotate_epoch, seal_before_commit
from server.customers.commands import handovers
from server.demo.commands import demo
from server.identity.commands import devices, users
from server.identity.devices import forget_after_restore
from server.integration.commands import import_command
from server.integration.history_commands import imports
from server.migrations import alembic_config, migrate
from server.pricing.computed_commands import add_materialise
from server.pricing.explain_commands import EXAMPLE as EXPLAIN_EXAMPLE
from server.pricing.explain_commands import add_explain
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database, engine_url
from server.runtime.errors import ProblemError
from server.runtime.outages import sentence_of_disk
from server.settings import PREFIX, InvalidSettingError, Settings, settings_from_environment
from server.sync.commands import quarantine, release_command
from server.sync.images.commands import images

COMMANDS_OF_OTHERS: Final = "roadbook.commands"
GRACE_SECONDS: Final = 3
"""How long a stopping server waits for streams that never end by themselves."""


class ProxyAddresses(click.ParamType[str]):
    """Addresses and networks, with commas between. A name would be compared with addresses, and believed from nobody."""

    name = "addresses"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it came, if each part is an address or a network."""
        for each in value.split(","):
            try:
                ip_network(each.strip())
            except ValueError:
                self.fail(f"{each.strip()!r} is no IP address such as 10.0.0.5, and no network such as 10.0.0.0/24", param, ctx)
        return value


class Host(click.ParamType[str]):
    """What ROADBOOK_HOST may be."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The host without the space around it."""
        try:
            return settings_from_environment({f"{PREFIX}HOST": value}).host
        except InvalidSettingError as error:
            self.fail(f"it {error.fault}; it takes {error.takes}", param, ctx)


class CommandLine(click.Group):
    """Commands of this package, and of others, which come through entry points. An error is a line, not a stack trace."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what the terminal could not tell as text, before it is taken for a name."""
        for given in args:
            if not given.isprintable() and any("\ud800" <= character <= "\udfff" for character in given):
                raise click.UsageError(f"{given.encode('utf-8', 'replace').decode()!r} is not valid UTF-8: type it again", ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(each.name for each in self._others())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        other = next((each for each in self._others() if each.name == cmd_name), None)
        if command is None and other is not None:
            loaded = other.load()
            assert isinstance(loaded, click.Command)
            return loaded
        return command

    @staticmethod
    def _others() -> tuple[EntryPoint, ...]:
        return tuple(entry_points(group=COMMANDS_OF_OTHERS))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _check_settings()
            return super().invoke(ctx)
        except (ProblemError, InvalidSettingError) as error:
            raise click.ClickException(str(error)) from error
        except (SQLAlchemyError, OSError) as error:
            raise click.ClickException(_sentence(error)) from error


def _check_settings() -> None:
    """Refuse an environment that no command could work with."""
    url = engine_url(settings_from_environment().database_url)
    folder = Path(url.database or ".").parent
    if url.get_backend_name() == "sqlite" and not folder.is_dir():
        raise click.ClickException(f"{PREFIX}DATABASE_URL: there is no folder {folder}; make it first")


def _sentence(error: Exception) -> str:
    said = sentence_of_disk(error)
    if said is not None:
        return said
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig else error) or type(error).__name__
    return f"{cause.splitlines()[0]} (is the database at {_shown_url(settings_from_environment())} the right one, and migrated?)"


def _shown_url(settings: Settings) -> str:
    return sa.make_url(settings.database_url).render_as_string(hide_password=True)


@click.group(
    cls=CommandLine,
    epilog="\b\nExamples:\n  roadbook migrate\n  roadbook users add mia --name 'Mia Brandt' --role manager\n  roadbook serve",
)
def main() -> None:
    """Order management on the road: the server and everything around it.

    The database is the one that ROADBOOK_DATABASE_URL names: sqlite:///roadbook.db, or postgresql://user@host/name.
    """


@main.command("migrate", epilog="\b\nExample:\n  ROADBOOK_DATABASE_URL=sqlite:///roadbook.db roadbook migrate")
def migrate_database() -> None:
    """Bring the database to the newest schema, creating what is missing."""
    settings = settings_from_environment()

    async def run() -> None:
        database = Database(settings.database_url, pool_size=1)
        try:
            await migrate(database)
        finally:
            await database.close()

    asyncio.run(run())
    click.echo(f"{_shown_url(settings)} is at revision {_newest_revision()}")


@main.command(
    epilog="\b\nExamples:\n  roadbook serve\n  roadbook serve --host 0.0.0.0 --port 80 --workers 4 --behind-proxy 10.0.0.5"
)
@click.option("--host", type=Host(), metavar="TEXT", help="Address to listen on.  [ROADBOOK_HOST, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [ROADBOOK_PORT, else 8321]")
@click.option("--workers", type=click.IntRange(1, 64), help="Number of processes.  [ROADBOOK_WORKERS, else 1]")
@click.option(
    "--behind-proxy",
    type=ProxyAddresses(),
    metavar="ADDRESS",
    help="Believe what the proxy at this IP address, or in this network, says of its clients.",
)
@click.option("--access-log", is_flag=True, help="Log every request.")
def serve(*, host: str | None, port: int | None, workers: int | None, behind_proxy: str | None, access_log: bool) -> None:
    """Serve the API and the devices until stopped."""
    given = {"HOST": host, "PORT": port, "WORKERS": workers}
    os.environ.update({f"{PREFIX}{name}": str(value) for name, value in given.items() if value is not None})
    settings = settings_from_environment()
    if settings.workers > 1 and engine_url(settings.database_url).get_backend_name() == "sqlite":
        raise click.ClickException("SQLite is served by one process: leave --workers at 1, or use PostgreSQL")
    asyncio.run(_require_migrated(settings))
    _require_free(settings.host, settings.port)
    click.echo(f"Roadbook serves at http://{settings.host}:{settings.port} (API page: /docs); stop it with Ctrl-C")
    uvicorn.run(
        "server.app:app_from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=behind_proxy is not None,
        forwarded_allow_ips=behind_proxy or "",
        server_header=False,
        access_log=access_log,
        log_level="info" if access_log else "warning",
        lifespan="on",
    )


def _require_free(host: str, port: int) -> None:
    """Refuse a port that somebody listens on: two servers on one port would share the requests silently."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            host.encode("idna")  # the socket would raise a TypeError for what is no name
            trial.bind((host, port))
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no name and no address"
            message = f"cannot listen on {host}:{port} ({why}); stop what runs there, or choose another with --port"
            raise click.ClickException(message) from error


async def _require_migrated(settings: Settings) -> None:
    """Refuse a database of another schema than this code's."""
    database = Database(settings.database_url, pool_size=1)
    try:
        async with database.engine.connect() as connection:
            known = await connection.run_sync(lambda sync: sa.inspect(sync).has_table("alembic_version"))
            found = (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar() if known else None
    finally:
        await database.close()
    newest = _newest_revision()
    if found != newest:
        state = f"at revision {found}" if found else "empty"
        raise click.ClickException(f"{_shown_url(settings)} is {state}, this server needs {newest}; run «roadbook migrate» first")


def _newest_revision() -> str:
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


prices = click.Group(
    "price",
    help="See what things cost, and why, and compute prices that follow from others.",
    epilog=f"\b\nExample:\n  {EXPLAIN_EXAMPLE}",
)


@main.command(epilog="\b\nExample:\n  pg_restore --dbname roadbook backup.dump && roadbook restored")
def restored() -> None:
    """Say that this database was restored from a backup.

    It becomes another log: every device pulls anew at its next sync, keeps what it has not sent, and offers again what
    the restored database may have forgotten.
    """
    settings = settings_from_environment()
    epoch = IdSource(SystemClock()).new()

    async def run() -> None:
        await _require_migrated(settings)
        database = Database(settings.database_url, before_commit=seal_before_commit, pool_size=1)
        try:
            async with database.write() as session:
                await rotate_epoch(session, epoch)
                await forget_after_restore(session)
        finally:
            await database.close()

    asyncio.run(run())
    click.echo(f"{_shown_url(settings)} is log {epoch} now; devices resync by themselves")


main.add_command(users)
main.add_command(devices)
main.add_command(handovers)
quarantine.add_command(release_command(server.app.intent_handlers))
main.add_command(quarantine)
main.add_command(images)
add_explain(prices)
add_materialise(prices)
main.add_command(prices)
main.add_command(import_command, "import")
main.add_command(imports)
main.add_command(demo, "demo")


if __name__ == "__main__":
    main()
