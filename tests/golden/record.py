"""Writes the transcript of the protocol version that this code speaks: `python -m tests.golden.record`.

A transcript is made once, when its version is new, and never again: what is there is not touched. Pin what it prints in
`test_transcripts.py`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_NAME, BY_ROW
from sync_protocol.entities.catalog import Product, ProductStatus, Unit
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus
from sync_protocol.intents import (
    AcceptQuote,
    AmendOrder,
    CancelOrder,
    CounterQuote,
    CreateCustomer,
    Intent,
    ManualPrice,
    QuotedGift,
    RequestedLine,
    RequestQuote,
    SubmitOrder,
    WantedQuoteLine,
    WithdrawQuote,
)
from sync_protocol.values import Row, uuid7
from sync_protocol.verdicts import Change, Code, Outcome, Verdict
from sync_protocol.wire.codec import PageWriter, columns, digest, encode, stored_values
from sync_protocol.wire.messages import (
    BucketCheck,
    BucketRange,
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    GoneChunk,
    ImageOffer,
    ImageReply,
    ImageRequest,
    IntentEnvelope,
    LogPlace,
    Message,
    PageHeader,
    PageTrailer,
    Proof,
    PullPosition,
    PullRequest,
    PurgeReceipt,
    PushReply,
    PushRequest,
    PushResult,
    PushStatus,
    RangeCheck,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
    ResyncReason,
    RowChunk,
    ScopeChunk,
    StallReport,
)
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION

FOLDER = Path(__file__).parent / f"v{PROTOCOL_VERSION}"
NOW_MS = 1_795_000_000_000


def make_id(number: int) -> UUID:
    return uuid7(NOW_MS, number)


DEVICE, EPOCH, USER, REP, CUSTOMER, TERRITORY, UNIT, PRODUCT, ORDER, LINE = (make_id(number) for number in range(10))
QUOTE = make_id(15)
OLD_TOKEN, NEW_TOKEN = bytes(range(16)), bytes(range(16, 32))
BUCKETS = tuple(sorted(("catalog", f"account:{CUSTOMER.hex}", f"rep:{REP.hex}")))
SCOPE_DIGEST = digest("\n".join(BUCKETS).encode())
PLACE = LogPlace(epoch=EPOCH, commit_seq=42, committed_at_ms=NOW_MS - 1_000)


def readable(value: Any) -> Any:
    """A message as JSON that a person reads: ids and bytes as text, each chunk of rows as lists."""
    match value:
        case msgspec.Raw():
            return readable(msgspec.msgpack.decode(value))
        case msgspec.Struct():
            config = value.__struct_config__
            tag = {config.tag_field: config.tag} if config.tag is not None else {}
            return tag | {name: readable(getattr(value, name)) for name in value.__struct_fields__}
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
        case list() | tuple():
            return [readable(each) for each in value]
    return value


def rows_of(*rows: Row) -> RowChunk:
    synced = BY_ROW[type(rows[0])]
    sent = [(place, row_checksum(synced, stored_values(row)), *stored_values(row)) for place, row in enumerate(rows, start=40)]
    return RowChunk(entity=synced.name, columns=columns(synced, PROTOCOL_VERSION), rows=msgspec.Raw(encode(sent)))


def page(name: str, says: str, *messages: Message, rows: int = 0, **trailer: Any) -> None:
    """Write a page down: its frames, and the zstd stream that they were sent as."""
    writer = PageWriter()
    closing = {"audience": DEVICE, "epoch": EPOCH, "rows": rows, "server_time_ms": NOW_MS, **trailer}
    stream = b"".join(writer.frame(message) for message in messages)
    whole = (*messages, PageTrailer(**closing, digest=writer.digest))
    stream += writer.frame(whole[-1]) + writer.close()
    frames = [{"hex": encode(each).hex(), "message": type(each).__name__, "value": readable(each)} for each in whole]
    write(name, {"says": says, "frames": frames, "stream_hex": stream.hex()})


def message(name: str, says: str, sent: msgspec.Struct) -> None:
    write(name, {"says": says, "message": type(sent).__name__, "hex": encode(sent).hex(), "value": readable(sent)})


def write(name: str, transcript: dict[str, Any]) -> None:
    with (FOLDER / f"{name}.json").open("x", encoding="utf-8") as file:
        file.write(json.dumps(transcript, indent=1, ensure_ascii=False) + "\n")


def enveloped(number: int, intent: Intent) -> IntentEnvelope:
    body = encode(intent)
    return IntentEnvelope(
        id=make_id(number),
        kind=type(intent).__name__,
        schema_version=type(intent).schema_version,
        body=body,
        digest=digest(body),
        captured_at_ms=NOW_MS,
        time_zone="Europe/Amsterdam",
        clock_skew_ms=-1_500,
        decided_at_cursor=42,
        rules_version=RULES_VERSION,
        lanes=intent.lanes(),
    )


def record_intents() -> None:
    line = RequestedLine(
        line_id=LINE,
        product_id=PRODUCT,
        quantity=10,
        unit_price=12_0000,
        manual=ManualPrice(reason="A good customer", unit_price=12_0000),
        amount_minor=12_000,
        tax_minor=2_280,
        rule_ids=(make_id(12),),
        digest=digest(b"the explanation of the line").hex(),
    )
    gift = QuotedGift(line_id=make_id(13), product_id=PRODUCT, quantity=1, promotion_id=make_id(14))
    prospect = CreateCustomer(
        customer_id=CUSTOMER,
        address_id=make_id(10),
        contact_id=make_id(11),
        territory_id=TERRITORY,
        name="Café Noord",
        street="Kade 1",
        postal_code="1011 AB",
        city="Amsterdam",
        country="NL",
        contact_name="An Bos",
    )
    order = SubmitOrder(
        order_id=ORDER,
        number="R17-000123",
        customer_id=CUSTOMER,
        currency="EUR",
        lines=(line,),
        gifts=(gift,),
        priced_at_ms=NOW_MS,
        quote_id=QUOTE,
    )
    amendment = AmendOrder(order_id=ORDER, revision=0, lines=(msgspec.structs.replace(line, quantity=8),), note="Eight will do")
    intents = (prospect, order, amendment, CancelOrder(order_id=ORDER, reason="Ordered twice"))
    for intent in (*intents, *quote_intents()):
        message(f"intent_{type(intent).__name__}", "The body of an envelope", intent)
    envelopes = tuple(enveloped(number, intent) for number, intent in enumerate(intents, start=20))
    message(
        "push_request",
        "Four intents of one device, in the order in which they were made",
        PushRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=DEVICE,
            incarnation=OLD_TOKEN,
            next_incarnation=NEW_TOKEN,
            epoch=EPOCH,
            intents=envelopes,
            known=(PLACE,),
        ),
    )
    record_reply(envelopes)


def quote_intents() -> tuple[Intent, ...]:
    line = WantedQuoteLine(line_id=LINE, product_id=PRODUCT, quantity=500, wanted_unit_price=9_0000)
    request = RequestQuote(quote_id=QUOTE, number="R17-Q000012", customer_id=CUSTOMER, currency="EUR", lines=(line,))
    cheaper = msgspec.structs.replace(line, wanted_unit_price=9_5000)
    counter = CounterQuote(quote_id=QUOTE, revision=1, lines=(cheaper,), note="Half way?")
    return request, counter, AcceptQuote(quote_id=QUOTE, revision=3), WithdrawQuote(quote_id=QUOTE, reason="Bought elsewhere")


def record_reply(envelopes: tuple[IntentEnvelope, ...]) -> None:
    taken, held, put_off, clashing = (envelope.id for envelope in envelopes)
    accepted = Verdict(intent_id=taken, outcome=Outcome.ACCEPTED, decided_at_ms=NOW_MS)
    waiting = Verdict(
        intent_id=held,
        outcome=Outcome.HELD,
        decided_at_ms=NOW_MS,
        codes=(Code.CUSTOMER_IS_PROSPECT, Code.PRICE_CHANGED),
        changes=(Change(code=Code.PRICE_CHANGED, line_id=LINE, before=12_5000, after=13_0000),),
    )
    results = (
        PushResult(intent_id=taken, status=PushStatus.DECIDED, verdict=encode(accepted), commit_seq=43),
        PushResult(intent_id=held, status=PushStatus.DECIDED, verdict=encode(waiting), commit_seq=43),
        PushResult(
            intent_id=put_off, status=PushStatus.DEFERRED, detail="the server failed on it (1 of 5); it will be tried again"
        ),
        PushResult(intent_id=clashing, status=PushStatus.CONFLICT, detail="id: it was used before for another intent"),
    )
    message("verdict", "As it is stored, and as `verdict` of a result carries it", waiting)
    message(
        "push_reply",
        "Each of the three statuses",
        PushReply(audience=DEVICE, epoch=EPOCH, results=results, server_time_ms=NOW_MS, head=PLACE),
    )


def record_enrolment() -> None:
    message(
        "enrol_request",
        "A code becomes a device",
        EnrolRequest(protocol_version=PROTOCOL_VERSION, code="7K3M-92QF-XV0B", device_name="Tablet"),
    )
    message(
        "fork_request",
        "A copy becomes a device of its own",
        ForkRequest(protocol_version=PROTOCOL_VERSION, device_id=DEVICE, incarnation=OLD_TOKEN, device_name="Tablet"),
    )
    message(
        "enrolment",
        "The answer to both",
        Enrolment(
            device_id=DEVICE,
            token="rbd_" + "A" * 43,
            incarnation=OLD_TOKEN,
            user_id=USER,
            user_name="Femke Vos",
            role="rep",
            number_prefix="R17",
            rep_id=REP,
        ),
    )


def record_pull() -> None:
    asked = PullRequest(protocol_version=PROTOCOL_VERSION, device_id=DEVICE, incarnation=OLD_TOKEN)
    position = PullPosition(pass_from=30, pass_to=42, stage=21, change=41, row_id=CUSTOMER)
    message("pull_request_first", "A device that holds nothing", asked)
    message(
        "pull_request_on",
        "The middle of a pass, with a bucket that is new to the device",
        msgspec.structs.replace(
            asked,
            epoch=EPOCH,
            cursor=30,
            scope_digest=SCOPE_DIGEST,
            gained=BUCKETS[:1],
            position=position,
            page_rows=500,
            known=(PLACE,),
        ),
    )
    header = PageHeader(protocol_version=PROTOCOL_VERSION, audience=DEVICE, epoch=EPOCH)
    scope = ScopeChunk(digest=SCOPE_DIGEST, buckets=BUCKETS)
    page("page_scope", "The device's digest was not the scope's", header, scope, cursor=0, complete=False)
    unit = Unit(id=UNIT, code="PCE", name="Stück")
    product = Product(
        id=PRODUCT,
        sku="130-04",
        name="Elbow 90°",
        description="",
        unit_id=UNIT,
        status=ProductStatus.ACTIVE,
        barcode="8712345678906",
    )
    customer = Customer(id=CUSTOMER, code="C-1001", name="Café Noord", status=CustomerStatus.PROSPECT, territory_id=TERRITORY)
    gone = GoneChunk(entity=BY_NAME["contact"].name, rows=((41, make_id(11).bytes),))
    entry = PriceEntry(id=make_id(31), price_list_id=make_id(32), product_id=PRODUCT, min_quantity=10, unit_price=12_5000)
    quote = NegotiatedQuote(
        id=QUOTE,
        number="R17-Q000012",
        customer_id=CUSTOMER,
        status=QuoteStatus.OFFERED,
        channel=Channel.REP,
        currency="EUR",
        requested_at_ms=NOW_MS,
        time_zone="Europe/Amsterdam",
        revision=1,
        rep_id=REP,
        valid_until_ms=NOW_MS + 86_400_000,
    )
    chunks = (
        rows_of(unit),
        rows_of(product),
        rows_of(entry),
        rows_of(customer, msgspec.structs.replace(customer, id=make_id(30), note="2nd")),
        rows_of(quote),
    )
    counted = msgspec.structs.replace(header, rows_expected=7)
    page(
        "page_rows",
        "A pass goes on behind this page",
        counted,
        *chunks,
        rows=6,
        cursor=42,
        complete=False,
        position=position,
        head=PLACE,
    )
    checks = (BucketCheck(bucket=BUCKETS[0], rows=2, checksum=911_384_116_512),)
    says = "The end of a pass that reaches the head: a checkpoint, with a check, and the wish for a proof"
    page("page_last", says, header, gone, rows=1, cursor=42, complete=True, checks=checks, proof_id=make_id(40), head=PLACE)
    restored = msgspec.structs.replace(header, resync=ResyncReason.EPOCH_CHANGED)
    page("page_resync", "The server was restored", restored, cursor=0, complete=False)


def record_integrity() -> None:
    asker = {"protocol_version": PROTOCOL_VERSION, "device_id": DEVICE, "incarnation": OLD_TOKEN, "epoch": EPOCH}
    message("ranges_request", "What does the catalogue hold?", RangesRequest(**asker, buckets=("catalog",), recount=True))
    held = (RangeCheck(bucket="catalog", range=7, rows=2, checksum=911_384_116_512),)
    message("ranges_reply", "The answer", RangesReply(audience=DEVICE, epoch=EPOCH, cursor=42, ranges=held))
    wanted = (BucketRange(bucket="catalog", range=7),)
    message("repair_request", "All rows of a range that differs; the answer is a page", RepairRequest(**asker, ranges=wanted))


def record_images() -> None:
    asker = {"protocol_version": PROTOCOL_VERSION, "device_id": DEVICE, "incarnation": OLD_TOKEN}
    message("image_request", "A device that holds nothing", ImageRequest(**asker, image_format=bytes(range(16))))
    offer = ImageOffer(
        digest=bytes(range(32)),
        size=51_000_000,
        raw_size=160_000_000,
        rows=602_000,
        epoch=EPOCH,
        commit_seq=40,
        buckets=("catalog",),
        place=msgspec.structs.replace(PLACE, commit_seq=40),
    )
    message("image_reply", "An image to download", ImageReply(audience=DEVICE, epoch=EPOCH, image=offer))


def record_report() -> None:
    receipt = PurgeReceipt(
        id=make_id(41), bucket=BUCKETS[0], rows=12, checksum=6_597_069_766, purged_at_cursor=42, purged_at_ms=NOW_MS
    )
    report = DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=DEVICE,
        incarnation=OLD_TOKEN,
        epoch=EPOCH,
        cursor=42,
        outbox_count=3,
        oldest_unsent_ms=NOW_MS - 86_400_000,
        receipts=(receipt,),
        proof=Proof(
            proof_id=make_id(40), cursor=42, is_equal=False, rows=602_014, buckets=3, differing_ranges=1, repaired_ranges=1
        ),
        problem=StallReport(code="sync_stalled", detail="The server answers 503", since_ms=NOW_MS - 900_000),
    )
    message("device_report", "A receipt, a proof and a problem", report)
    message("report_reply", "The receipt is stored", ReportReply(audience=DEVICE, epoch=EPOCH, receipt_ids=(receipt.id,)))


def main() -> None:
    FOLDER.mkdir()
    record_enrolment()
    record_pull()
    record_intents()
    record_integrity()
    record_images()
    record_report()
    for path in sorted(FOLDER.iterdir()):
        print(f'    "v{PROTOCOL_VERSION}/{path.name}": "{hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()}",')


if __name__ == "__main__":
    main()
