"""`roadbook users …` and `roadbook devices …`: what an operator does at a terminal, without signing in."""

import warnings
from collections.abc import Callable
from getpass import GetPassWarning
from uuid import UUID

import click
import msgspec

from server.identity import devices as device_service
from server.identity import reports, service
from server.identity.answers import Device, DeviceDetail, EnrolmentCode, Proof, ProofRequest, Receipt, User
from server.identity.credentials import hash_password
from server.identity.devices import RevocationReason
from server.identity.principals import Role
from server.identity.terminal import AS_JSON, OPERATOR_ID, now_ms, run, said_of_options, show
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database, ReadSession
from server.runtime.instants import iso
from server.settings import Settings

_PASSWORD = click.option(
    "--password", envvar="ROADBOOK_PASSWORD", help="The password; asked for where it is missing. Better in ROADBOOK_PASSWORD."
)


@click.group(epilog="\b\nExamples:\n  roadbook users add mia --name 'Mia Brandt' --role manager\n  roadbook users list")
def users() -> None:
    """Who may use the server: add, list, give a password, deactivate."""


@users.command("add", epilog="\b\nExample:\n  roadbook users add femke --name 'Femke Vos' --role rep --rep R-07")
@click.argument("login")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]), help="What they are to the company.")
@click.option("--rep", "rep_id", help="Code of the rep that a rep's user stands for.")
@click.option("--customer", "customer_id", help="Code of the company that a buyer's user buys for.")
@_PASSWORD
@click.option("--no-password", is_flag=True, help="Cannot sign in, only enrol devices.")
def add_user(
    *, login: str, name: str, role: str, rep_id: str | None, customer_id: str | None, password: str | None, no_password: bool
) -> None:
    """Add a user with LOGIN. A rep names its rep, a buyer its company."""
    with said_of_options():  # before a password is asked for
        service.check_parts(Role(role), rep_id=rep_id, customer_id=customer_id)
    chosen = None if no_password else _asked(password)

    async def work(database: Database, _settings: Settings) -> User:
        password_hash = await hash_password(chosen) if chosen is not None else None
        async with database.write() as session:
            user = await service.create_user(
                session,
                ids=IdSource(SystemClock()),
                now_ms=now_ms(),
                login=login,
                name=name,
                role=Role(role),
                password_hash=password_hash,
                rep_id=await _id_of("rep", rep_id, session),
                customer_id=await _id_of("customer", customer_id, session),
            )
            return User.of(user)

    user = run(work)
    click.echo(f"added {user.login} ({user.role}), {user.id}")


def _asked(password: str | None) -> str:
    """A password that is long enough, asked for where none was given."""
    chosen = password or _typed()
    if not service.PASSWORD_CHARACTERS_MIN <= len(chosen) <= service.PASSWORD_CHARACTERS_MAX:
        bounds = f"{service.PASSWORD_CHARACTERS_MIN} to {service.PASSWORD_CHARACTERS_MAX}"
        raise click.UsageError(f"the password has {len(chosen)} characters; give {bounds}")
    return str(chosen)


def _typed() -> str:
    """What a person types at a terminal; where there is none, getpass would warn and read from somewhere else."""
    with warnings.catch_warnings(action="error", category=GetPassWarning):
        try:
            return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
        except GetPassWarning as error:
            raise click.ClickException("no terminal to ask on: set ROADBOOK_PASSWORD") from error


async def _id_of(table: str, code: str | None, session: ReadSession) -> UUID | None:
    return None if code is None else await service.id_of_code(session, table, code, field=f"{table}_id")


@users.command("list", epilog="\b\nExample:\n  roadbook users list --json")
@AS_JSON
def list_users(*, as_json: bool) -> None:
    """List all users by login."""

    async def work(database: Database, _settings: Settings) -> list[User]:
        found: list[User] = []
        async with database.read() as session:
            while page := await service.list_users(session, after_login=found[-1].login if found else ""):
                found += [User.of(user) for user in page]
        return found

    columns: dict[str, Callable[[User], object]] = {
        "login": lambda user: user.login,
        "name": lambda user: user.name,
        "role": lambda user: user.role,
        "active": lambda user: "yes" if user.active else "no",
        "id": lambda user: user.id,
    }
    show(run(work), columns, as_json=as_json)


@users.command("password", epilog="\b\nExample:\n  roadbook users password mia")
@click.argument("login")
@_PASSWORD
def set_password(*, login: str, password: str | None) -> None:
    """Give the user LOGIN another password and end their sessions."""
    chosen = _asked(password)

    async def work(database: Database, _settings: Settings) -> None:
        password_hash = await hash_password(chosen)
        async with database.write() as session:
            user = await service.user_of_login(session, login)
            await service.set_password(session, user.id, password_hash)

    run(work)
    click.echo(f"{login} has a new password; all sessions ended")


@users.command("deactivate", epilog="\b\nExample:\n  roadbook users deactivate femke")
@click.argument("login")
def deactivate_user(*, login: str) -> None:
    """End the user LOGIN: sessions and devices are refused from their next request on."""

    async def work(database: Database, _settings: Settings) -> None:
        async with database.write() as session:
            user = await service.user_of_login(session, login)
            await service.deactivate_user(session, user.id, now_ms())

    run(work)
    click.echo(f"{login} is deactivated; their devices are revoked")


@click.group(epilog="\b\nExamples:\n  roadbook devices code femke\n  roadbook devices revoke 01a20197-… --reason lost")
def devices() -> None:
    """Devices in the field: issue a code for one, list, revoke."""


@devices.command("list", epilog="\b\nExample:\n  roadbook devices list --json")
@AS_JSON
def list_devices(*, as_json: bool) -> None:
    """List all devices in the order of their enrolment."""

    async def work(database: Database, _settings: Settings) -> list[Device]:
        found: list[Device] = []
        async with database.read() as session:
            while page := await device_service.list_devices(session, after_id=found[-1].id if found else None):
                found += [Device.of(device, user) for device, user in page]
        return found

    columns: dict[str, Callable[[Device], object]] = {
        "user": lambda device: device.user_login,
        "name": lambda device: device.name,
        "numbers": lambda device: device.number_prefix,
        "enrolled": lambda device: device.enrolled_at,
        "last seen": lambda device: device.last_seen_at,
        "revoked": lambda device: device.revoked_reason,
        "wiped": lambda device: device.wiped_at,
        "id": lambda device: device.id,
    }
    show(run(work), columns, as_json=as_json)


@devices.command("show", epilog="\b\nExample:\n  roadbook devices show 01a20197-2d5b-7c19-88ae-f62dff50c45c")
@click.argument("device_id", type=click.UUID)
@AS_JSON
def show_device(*, device_id: UUID, as_json: bool) -> None:
    """Show what the device DEVICE_ID said of itself: what waits on it, what is in its way, its receipts and proofs."""

    async def work(database: Database, _settings: Settings) -> DeviceDetail:
        async with database.read() as session:
            return DeviceDetail.of(await reports.open_device(session, device_id))

    found = run(work)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    waiting = "never reported" if found.reported_at is None else f"{found.outbox_count} waiting at {found.reported_at}"
    click.echo(f"{found.device.name} of {found.device.user_login}: {waiting}, oldest of {found.oldest_unsent_at or 'none'}")
    if found.problem is not None:
        click.echo(f"{found.problem.code} since {found.problem.since}: {found.problem.detail}")
    columns: dict[str, Callable[[Receipt], object]] = {
        "erased": lambda receipt: receipt.bucket,
        "rows": lambda receipt: receipt.rows,
        "at": lambda receipt: receipt.purged_at_cursor,
        "received": lambda receipt: receipt.received_at,
    }
    if found.receipts:
        show(found.receipts, columns, as_json=False)
    proved: dict[str, Callable[[Proof], object]] = {
        "proof": lambda proof: proof.id,
        "at": lambda proof: proof.cursor,
        "found": lambda proof: "equal" if proof.is_equal else f"{proof.differing_ranges} ranges differ",
        "repaired": lambda proof: proof.repaired_ranges,
        "received": lambda proof: proof.received_at,
    }
    if found.proofs:
        show(found.proofs, proved, as_json=False)
    answered = {proof.id for proof in found.proofs}
    for asked in found.proof_requests:
        if asked.id not in answered:
            click.echo(f"asked for a proof at {asked.requested_at}; not answered yet")


@devices.command("prove", epilog="\b\nExample:\n  roadbook devices prove 01a20197-2d5b-7c19-88ae-f62dff50c45c")
@click.argument("device_id", type=click.UUID)
@AS_JSON
def prove(*, device_id: UUID, as_json: bool) -> None:
    """Have the device DEVICE_ID prove at its next sync that it equals the server; `devices show` has what it found."""

    async def work(database: Database, _settings: Settings) -> ProofRequest:
        async with database.write() as session:
            proof_id = IdSource(SystemClock()).new()
            asked = await reports.ask_for_proof(session, device_id, proof_id, requested_by_id=OPERATOR_ID, now_ms=now_ms())
            return ProofRequest.of(asked)

    asked = run(work)
    click.echo(msgspec.json.encode(asked) if as_json else f"asked at {asked.requested_at}, as {asked.id}")


@devices.command("code", epilog="\b\nExample:\n  roadbook devices code femke")
@click.argument("login")
@AS_JSON
def issue_code(*, login: str, as_json: bool) -> None:
    """Print a single-use code with which the user LOGIN enrols one device."""

    async def work(database: Database, settings: Settings) -> EnrolmentCode:
        async with database.write() as session:
            user = await service.user_of_login(session, login)
            issued = await service.create_enrolment_code(
                session,
                user_id=user.id,
                created_by_id=OPERATOR_ID,
                now_ms=now_ms(),
                valid_minutes=settings.enrolment_minutes,
            )
        return EnrolmentCode(code=issued.code, user_id=issued.user_id, expires_at=iso(issued.expires_at_ms))

    issued = run(work)
    if as_json:
        click.echo(msgspec.json.encode(issued))
        return
    click.echo(issued.code)
    click.echo(f"for {login}, once, until {issued.expires_at}", err=True)


@devices.command("revoke", epilog="\b\nExample:\n  roadbook devices revoke 01a20197-2d5b-7c19-88ae-f62dff50c45c --reason lost")
@click.argument("device_id", type=click.UUID)
@click.option("--reason", required=True, type=click.Choice([str(reason) for reason in RevocationReason]), help="What became of it.")
def revoke_device(*, device_id: UUID, reason: str) -> None:
    """Refuse the device DEVICE_ID, and those forked from it, from their next request on, on every process."""

    async def work(database: Database, _settings: Settings) -> None:
        async with database.write() as session:
            await device_service.revoke_device(session, device_id, RevocationReason(reason), now_ms())

    run(work)
    click.echo(f"device {device_id} is revoked: {reason}")
