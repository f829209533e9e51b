"""The story of the demo: a rep sells without a network while the office changes things, and everything comes out right.

Each act checks what it tells. The commands that it shows are run as they stand.
"""

import asyncio
import shutil
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from server.changelog.log import seal_before_commit
from server.demo.cast import REP_LOGIN, Cast, Scene, choose_cast
from server.demo.company import COMPANY_NAME, Company, make_company
from server.demo.load import PASSWORD, load_company, logins
from server.demo.office import Manager, OfficeChanges
from server.demo.premises import Premises
from server.demo.stage import Stage, expect
from server.migrations import migrate
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.values import minor_digits
from sync_protocol.verdicts import Code, Outcome

TIME_ZONE: Final = "Europe/Amsterdam"
_LEFT_IN_STOCK: Final = 2
_RELEASE_REASON: Final = "Paid both invoices this morning"


class Story:
    """One telling, from an empty folder to a released order."""

    def __init__(self, stage: Stage, premises: Premises, seed: int) -> None:
        self._stage = stage
        self._premises = premises
        self._seed = seed
        self._clock = SystemClock()
        self._orders: dict[str, dict[str, Any]] = {}

    def tell(self) -> None:
        """All acts. Raises StoryBrokenError where one does not come out as told."""
        company = self._open_the_company()
        cast = choose_cast(company)
        self._open_the_server()
        self._enrol()
        self._go_offline()
        self._sell(cast)
        self._return(cast)
        self._sync(cast)
        self._review(cast)
        self._stage.end_act()
        self._close(company, cast)

    def _open_the_company(self) -> Company:
        stage = self._stage
        stage.act("A wholesaler opens")
        self._premises.clear()
        company = make_company(self._seed, self._clock.now_ms())
        count = asyncio.run(self._load(company))
        stage.tell(f"{COMPANY_NAME}. Made of seed {self._seed}, in {self._premises.database}:")
        for number, what in _figures(company):
            stage.console.print(Text.assemble((f"{number:>9,} ", "bold"), what))
        expect(count > 100_000, "a whole company", count)
        return company

    async def _load(self, company: Company) -> int:
        database = Database(self._premises.database_url, before_commit=seal_before_commit)
        try:
            await migrate(database)
            return await load_company(database, company, clock=self._clock)
        finally:
            await database.close()

    def _open_the_server(self) -> None:
        stage, premises = self._stage, self._premises
        stage.act("The server starts")
        stage.show_command(f"ROADBOOK_DATABASE_URL={premises.database_url} ROADBOOK_PORT={premises.port} roadbook serve &")
        seconds = premises.start_server()
        stage.tell(f"Process {premises.server_pid} answers at {premises.server_url} after {seconds:.1f} s.")
        self._show_health(well=True)

    def _show_health(self, *, well: bool) -> None:
        found = self._premises.is_well()
        expect(found == well, f"the health check to {'answer' if well else 'be refused'}", found)
        answer = ("200 OK", "green") if well else ("connection refused", "bold red")
        self._stage.console.print(Text.assemble(f"GET {self._premises.server_url}/healthz → ", answer))

    def _enrol(self) -> None:
        stage, premises = self._stage, self._premises
        stage.act("Femke's tablet joins")
        with Manager(premises.server_url) as manager:
            manager.sign_in("manager", PASSWORD)
            code = manager.enrolment_code(REP_LOGIN)
        stage.tell("The manager makes a single-use code through the API (POST /enrolment-codes) and reads it to Femke.")
        stage.note(f"Her tablet is one file: export ROADBOOK_DEVICE_STORE={premises.device_store}")
        stage.note(f"It is in the Randstad:  export ROADBOOK_DEVICE_TIME_ZONE={TIME_ZONE}")
        stage.device("enrol", premises.server_url, code, "--name", "Tablet of Femke")
        stage.device("sync")
        status = stage.ask_device("status")
        expect(status["products"] > 5_000 and status["customers"] == 170, "the catalogue and the Randstad's customers", status)
        stage.device("status")

    def _go_offline(self) -> None:
        stage, premises = self._stage, self._premises
        stage.act("A cellar without a network")
        pid = premises.server_pid
        premises.stop_server()
        stage.tell(f"To be sure that nothing cheats, the server process {pid} is stopped.")
        self._show_health(well=False)

    def _sell(self, cast: Cast) -> None:
        stage = self._stage
        stage.device("search", "elbow press 22", "--limit", "5")
        fitting, quantity = cast.plain.articles[0]
        stage.device("price", cast.plain.customer_code, fitting.product.sku, str(quantity - 1))
        stage.device("stock", fitting.product.sku)
        stage.tell("\nFive orders, each taken, priced and numbered on the tablet alone:")
        stage.device("order", cast.plain.customer_code, *cast.plain.lines, "--po", "PO-4711")
        for scene in (cast.repriced, cast.short, cast.held, cast.discontinued):
            stage.device("order", scene.customer_code, *scene.lines)
        stage.tell("\nAnd somebody new, met at the counter:")
        prospect = ("--contact", "Noor Bakker", "--street", "Kanaaldijk 12", "--postal-code", "1013 AB", "--city", "Amsterdam")
        stage.device("prospect", "Bakker Badkamers", *prospect, "--phone", "+31 6 1234 5678")
        stage.device("sync", exit_code=4)
        stage.device("outbox")
        waiting = stage.ask_device("outbox")
        expect(len(waiting) == 6, "six acts that wait to be sent", len(waiting))

    def _return(self, cast: Cast) -> None:
        stage, premises = self._stage, self._premises
        stage.act("Meanwhile at the office")
        premises.start_server()
        self._show_health(well=True)
        stage.tell("The server is back. Before Femke has a network again, the office changes three things:")
        changes = OfficeChanges(premises.database_url, self._clock)
        price_list_id = cast.repriced.account.territory.price_list_id
        assert price_list_id is not None
        asyncio.run(
            changes.change_three_things(
                dearer=cast.repriced.changing,
                price_list_id=price_list_id,
                short=cast.short.changing,
                left=_LEFT_IN_STOCK,
                location_id=cast.stock_location_id,
                gone=cast.discontinued.changing,
            )
        )
        for article, what in (
            (cast.repriced.changing, "costs 4 % more"),
            (cast.short.changing, f"has sold at the counter: {_LEFT_IN_STOCK} are left"),
            (cast.discontinued.changing, "is discontinued"),
        ):
            stage.console.print(Text.assemble("  • ", (article.product.sku, "bold"), f" {article.product.name} ", (what, "yellow")))
        stage.note("(One transaction of another program on the same database; the change log captures it by triggers.)")

    def _sync(self, cast: Cast) -> None:
        stage = self._stage
        stage.act("Back on the road: a verdict for every order")
        stage.device("sync")
        self._check_verdicts(cast)
        self._mend(cast)
        stage.device("orders", "--limit", "5")

    def _mend(self, cast: Cast) -> None:
        """The remedy of the rejected order: the next size of the radiator in place of the one that is gone."""
        stage = self._stage
        stage.tell("\nThe rejected order is not lost: it came back as a draft. Femke does what the remedy says.")
        (returned,) = stage.ask_device("drafts")
        _, *rest = cast.discontinued.lines
        _, quantity = cast.discontinued.articles[0]
        stage.device("search", cast.discontinued.changing.product.sku.partition("-")[0], "--limit", "8")
        stage.device("mend", returned["number"], f"{cast.replacement.product.sku}:{quantity}", *rest)
        stage.device("sync")
        (newest,) = stage.ask_device("journal", "--limit", "1")
        self._expect_verdict(newest["verdict"], Outcome.ACCEPTED, [], cast.discontinued)

    def _check_verdicts(self, cast: Cast) -> None:
        """The journal of the device against what the story told."""
        journal = self._stage.ask_device("journal", "--limit", "10")
        placed = {view["order"]["customer_id"]: view["order"] for view in self._stage.ask_device("orders", "--limit", "10")}
        numbers = {str(entry["subject_id"]): entry for entry in journal}
        expect(len(journal) == 6, "six verdicts", len(journal))
        wanted: tuple[tuple[Scene, Outcome, list[Code]], ...] = (
            (cast.plain, Outcome.ACCEPTED, []),
            (cast.repriced, Outcome.ACCEPTED_WITH_CHANGES, [Code.PRICE_CHANGED]),
            (cast.short, Outcome.ACCEPTED_WITH_CHANGES, [Code.BACKORDERED]),
            (cast.held, Outcome.HELD, [Code.CUSTOMER_ON_HOLD]),
        )
        for scene, outcome, codes in wanted:
            order = placed[str(scene.account.customer.id)]
            self._expect_verdict(numbers[order["id"]]["verdict"], outcome, codes, scene)
            self._orders[scene.customer_code] = order
        (rejected,) = [entry for entry in journal if entry["verdict"]["outcome"] == Outcome.REJECTED]
        self._expect_verdict(rejected["verdict"], Outcome.REJECTED, [Code.PRODUCT_DISCONTINUED], cast.discontinued)
        self._check_short(numbers[self._orders[cast.short.customer_code]["id"]]["verdict"], cast.short)
        outbox = self._stage.ask_device("outbox")
        expect(not outbox, "an empty outbox", outbox)

    @staticmethod
    def _expect_verdict(verdict: dict[str, Any], outcome: Outcome, codes: list[Code], scene: Scene) -> None:
        found = (verdict["outcome"], verdict.get("codes", []))
        expect(found == (outcome, codes), f"{outcome} {[*map(str, codes)]} for {scene.customer_code}", found)

    @staticmethod
    def _check_short(verdict: dict[str, Any], scene: Scene) -> None:
        asked = scene.articles[0][1]
        found = [(change["before"], change["after"]) for change in verdict["changes"]]
        expect(found == [(asked, asked - _LEFT_IN_STOCK)], f"{asked - _LEFT_IN_STOCK} of {asked} backordered", found)

    def _review(self, cast: Cast) -> None:
        stage, premises = self._stage, self._premises
        stage.act("The manager decides")
        held_id = self._orders[cast.held.customer_code]["id"]
        with Manager(premises.server_url) as manager:
            manager.sign_in("manager", PASSWORD)
            stage.show_request("GET", f"{premises.server_url}/orders?limit=5")
            newest = manager.orders(limit="5")
            self._show_orders(newest)
            sent = {order["id"] for order in self._orders.values()}
            expect(sent <= {order["id"] for order in newest}, "the four orders at the top of the manager's list", newest)
            stage.show_request("GET", f"{premises.server_url}/orders/{held_id}")
            self._show_order(manager.order(held_id))
            body = f'{{"reason": "{_RELEASE_REASON}"}}'
            stage.show_request("POST", f"{premises.server_url}/orders/{held_id}/release", body)
            released = manager.release(held_id, _RELEASE_REASON)
        expect(released["status"] == "confirmed", "the held order to be confirmed", released["status"])
        stage.tell(f"{released['number']} is now {released['status']}: {_RELEASE_REASON}. Femke's tablet hears of it:")
        stage.device("sync")
        stage.device("orders", released["number"])
        seen = next(view["order"] for view in stage.ask_device("orders") if view["order"]["id"] == held_id)
        expect((seen["status"], seen["reason"]) == ("confirmed", _RELEASE_REASON), "the tablet to show it released", seen)

    def _show_orders(self, orders: list[dict[str, Any]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("Number", "Customer", "Rep", "Status", "Verdict", "Total"):
            table.add_column(column, justify="right" if column == "Total" else "left")
        for order in orders:
            status = "magenta" if order["status"] == "held" else "green"
            total = _amount(order["total_minor"], order["currency"])
            verdict = (order["outcome"] or "").replace("_", " ")
            table.add_row(
                order["number"], order["customer_name"], order["rep_name"] or "", Text(order["status"], status), verdict, total
            )
        self._stage.console.print(table)

    def _show_order(self, order: dict[str, Any]) -> None:
        console = self._stage.console
        held = f"{order['status']}: {order['hold_code'].replace('_', ' ')}"
        console.print(Text.assemble((order["number"], "bold"), f" for {order['customer_name']}, ", (held, "magenta")))
        for line in order["lines"]:
            amount = _amount(line["amount_minor"], order["currency"])
            console.print(Text(f"  {line['quantity']:>4} x {line['sku']} {line['name']}  {amount}"))
        for verdict in order["verdicts"]:
            console.print(
                Text(
                    f"  {verdict['intent']} at {verdict['captured_at']} → {verdict['outcome']}: {' '.join(verdict['remedies'])}",
                    "dim",
                )
            )

    def _close(self, company: Company, cast: Cast) -> None:
        stage, premises = self._stage, self._premises
        stage.console.print()
        stage.console.rule(Text("Now you", "bold blue"), align="left")
        stage.tell("The server of this story is stopped now; what it made is yours:")
        for line in (
            *(() if shutil.which("roadbook") else (". .venv/bin/activate",)),
            f"export ROADBOOK_DATABASE_URL={premises.database_url} ROADBOOK_PORT={premises.port}",
            "roadbook serve &",
            f"export ROADBOOK_DEVICE_STORE={premises.device_store} ROADBOOK_DEVICE_TIME_ZONE={TIME_ZONE}",
            "roadbook device search 'ball valve'",
            f"roadbook device order {cast.plain.customer_code} {cast.repriced.lines[1]}",
            "roadbook device sync",
            "roadbook device --help",
        ):
            stage.console.print(Text.assemble("  $ ", (line, "bold")), soft_wrap=True)
        stage.console.print(f"  The API, with a page to try it: {premises.server_url}/docs")
        stage.console.print(
            Text(f"  Logins: {', '.join(person.login for person in logins(company))}; everybody's password is {PASSWORD}")
        )
        for title, seconds in stage.act_seconds.items():
            stage.note(f"  {seconds:5.1f} s  {title}")
        stage.note(f"  {stage.elapsed_seconds:5.1f} s  in all")


def _figures(company: Company) -> list[tuple[int, str]]:
    """The company in numbers, each with what it counts."""
    catalogue, accounts, history = company.catalogue, company.accounts, company.history
    families = len(catalogue.products) - len(catalogue.articles)
    active = sum(account.customer.status is CustomerStatus.ACTIVE for account in accounts.accounts)
    territories, reps = len(accounts.territories), len(accounts.reps)
    return [
        (len(catalogue.articles), f"products in {families} families, in stock at {len(accounts.stock_locations)} warehouses"),
        (len(catalogue.price_entries), f"prices on {len(catalogue.price_lists)} price lists, with quantity breaks"),
        (len(accounts.accounts), f"customers ({active} active) in {territories} territories, and {reps} reps"),
        (len(history.orders), f"orders of two years, with {len(history.lines):,} lines"),
    ]


def _amount(amount_minor: int, currency: str) -> str:
    digits = minor_digits(currency)
    whole, part = divmod(amount_minor, 10**digits)
    return f"{whole:,}.{part:0{digits}} {currency}" if digits else f"{whole:,} {currency}"
