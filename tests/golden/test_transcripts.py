"""What was once on the wire is understood for ever, and would be sent the same way today."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from backports import zstd

from sync_protocol import intents
from sync_protocol.entities import BY_NAME
from sync_protocol.intents import INTENTS
from sync_protocol.verdicts import Verdict
from sync_protocol.wire import messages
from sync_protocol.wire.codec import PageReader, WireError, columns, decode, decode_rows, decode_verdict, digest, encode, intent_of
from sync_protocol.wire.messages import PageTrailer, PushReply, PushRequest, PushStatus, RowChunk
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION
from tests.golden.record import readable

FOLDER = Path(__file__).parent
# A file is pinned when it is recorded and never edited: whoever wants another records a new protocol version. Only a version
# that was never released may be recorded anew.
PINNED = {
    "v1/enrol_request.json": "16573589adbc296e3c341fb9a4256694",
    "v1/enrolment.json": "929276c9567f89b9bf5d2c63f64a5bd6",
    "v1/fork_request.json": "2d1cd0a0381921efe59b559e1bf41ffa",
    "v1/intent_AmendOrder.json": "eb5facfe07d0aa5a89bb89f8b89f36d7",
    "v1/intent_CancelOrder.json": "7b133699bceb1325d45927f5da68d67d",
    "v1/intent_CreateCustomer.json": "82d339ad39a919d2b0251d9b4e515e4a",
    "v1/intent_SubmitOrder.json": "b1cd90d31f79dd7ca506ee86ecb2ff02",
    "v1/page_last.json": "dcc6b9459eff01e4edd29d07e101b9cb",
    "v1/page_resync.json": "d54e3b8904ac17e235d0e1b745f5bee6",
    "v1/page_rows.json": "e0e69b7073cc83706f111bd48f7c7b7f",
    "v1/page_scope.json": "81fe4f56b0a3a64810c7dd954478ae1a",
    "v1/pull_request_first.json": "7475bfe75cb9493fc939220bc6f2076d",
    "v1/pull_request_on.json": "25ea968549eb8def465f996cbfe8687f",
    "v1/push_reply.json": "3143a3aaa849794f9cc9fb604c355a88",
    "v1/push_request.json": "d31aa98f585f331056ec9cb0e37adba8",
    "v1/verdict.json": "a7746c00315cfd5a3cfa495a156a8926",
    "v2/device_report.json": "2241a55885da7b793ef8dcfa860d20d4",
    "v2/enrol_request.json": "03edf8f4b4108e4517b5ba6d24911b34",
    "v2/enrolment.json": "131dfd5bc72ae43ccae5282ed8ed5b20",
    "v2/fork_request.json": "2f9f65890b16dac9c3459d7515d1096e",
    "v2/image_reply.json": "0d52698b82d192f546602455d290ecc0",
    "v2/image_request.json": "e1b9be5abeeaf7cbdcfa8740c3a50103",
    "v2/intent_AmendOrder.json": "eb5facfe07d0aa5a89bb89f8b89f36d7",
    "v2/intent_CancelOrder.json": "7b133699bceb1325d45927f5da68d67d",
    "v2/intent_CreateCustomer.json": "82d339ad39a919d2b0251d9b4e515e4a",
    "v2/intent_SubmitOrder.json": "b1cd90d31f79dd7ca506ee86ecb2ff02",
    "v2/page_last.json": "2746d214534aaddc155b523cadb1f4fb",
    "v2/page_resync.json": "0692b505b81597d95c14bc9767a57e0c",
    "v2/page_rows.json": "8b7cbc5327e938f0c0114efab075ab7e",
    "v2/page_scope.json": "52723da81d8044c101481b69bb44d727",
    "v2/pull_request_first.json": "71692fbb13c373dedf67ae8e5771edad",
    "v2/pull_request_on.json": "3fc0512ae84b832a66e9d6ba5b5b1e87",
    "v2/push_reply.json": "7523540398388c7a8bbd15b17945b7a0",
    "v2/push_request.json": "59d96eaa9b6ea0bf850e155c83320d98",
    "v2/ranges_reply.json": "ade64f707b9099adc727fb8d3a6b3270",
    "v2/ranges_request.json": "ceba22bacc6a36b2c0959f49e9dba588",
    "v2/repair_request.json": "c441c55037633b055eb791e5147172a8",
    "v2/report_reply.json": "b12ccecccdc068a200e07e01e2520617",
    "v2/verdict.json": "a7746c00315cfd5a3cfa495a156a8926",
    "v3/device_report.json": "c440affa28d620816771719596fa726a",
    "v3/enrol_request.json": "abbc8d17ec9c4ebb5aebdb95fbb43735",
    "v3/enrolment.json": "131dfd5bc72ae43ccae5282ed8ed5b20",
    "v3/fork_request.json": "3c590bfd910d584bffb271112f94f7e6",
    "v3/image_reply.json": "0d52698b82d192f546602455d290ecc0",
    "v3/image_request.json": "dabd5ff453d1fdc589a5f275529de3cc",
    "v3/intent_AcceptQuote.json": "501a4e613064b7e695ba028a1dad9c8a",
    "v3/intent_AmendOrder.json": "409cf0d01821a317b5d35227cfe4f5b2",
    "v3/intent_CancelOrder.json": "7b133699bceb1325d45927f5da68d67d",
    "v3/intent_CounterQuote.json": "89f63ecdb67d1bb22aafa18c15202a8b",
    "v3/intent_CreateCustomer.json": "82d339ad39a919d2b0251d9b4e515e4a",
    "v3/intent_RequestQuote.json": "a2711354a276f6b67bfc7286e1324844",
    "v3/intent_SubmitOrder.json": "72ccd0aa139094f3faab68e60ed8525f",
    "v3/intent_WithdrawQuote.json": "353a13416c149e5c6646a900c8bdce1a",
    "v3/page_last.json": "0eb90b565535d067533acbba1569d952",
    "v3/page_resync.json": "136b9628a772a359ea0d4e2e26c66caf",
    "v3/page_rows.json": "5583a2006bf480b35794dd0e83f9eb1f",
    "v3/page_scope.json": "c01cc4edfc0f9e80e0ece46fefefe675",
    "v3/pull_request_first.json": "9a4ed3949ccf518d02c9f52aef5111eb",
    "v3/pull_request_on.json": "c0b914dfa0c0dd6aec3452b38c8e3eef",
    "v3/push_reply.json": "7523540398388c7a8bbd15b17945b7a0",
    "v3/push_request.json": "d2eb33ff2058895342daa54e03a0a8d1",
    "v3/ranges_reply.json": "ade64f707b9099adc727fb8d3a6b3270",
    "v3/ranges_request.json": "53f1d157ebffcc146abe3bfc4bf71066",
    "v3/repair_request.json": "25129531e70a42a3d048800a2df27872",
    "v3/report_reply.json": "b12ccecccdc068a200e07e01e2520617",
    "v3/verdict.json": "a7746c00315cfd5a3cfa495a156a8926",
}
TRANSCRIPTS = {name: json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in PINNED}
NEWEST = f"v{PROTOCOL_VERSION}/"
every_message = pytest.mark.parametrize("name", [name for name, each in TRANSCRIPTS.items() if "frames" not in each])
every_page = pytest.mark.parametrize("name", [name for name, each in TRANSCRIPTS.items() if "frames" in each])


def message_type(name: str) -> type[msgspec.Struct]:
    return getattr(messages, name, None) or getattr(intents, name, None) or {"Verdict": Verdict}[name]


def says_all(understood: Any, recorded: Any) -> bool:
    """Whether everything that was recorded is understood as it was; newer versions may have more fields, with defaults."""
    match recorded:
        case dict():
            return all(name in understood and says_all(understood[name], value) for name, value in recorded.items())
        case list():
            return len(understood) == len(recorded) and all(map(says_all, understood, recorded))
    return bool(understood == recorded)


def framed(frames: list[dict[str, Any]]) -> bytes:
    bodies = [bytes.fromhex(frame["hex"]) for frame in frames]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def rows_anew(chunk: RowChunk) -> RowChunk:
    """The chunk with its rows decoded, checked and encoded again."""
    synced = BY_NAME[chunk.entity]
    is_ours = chunk.columns == columns(synced, PROTOCOL_VERSION)
    rows = decode_rows(synced, chunk.rows) if is_ours else msgspec.msgpack.decode(chunk.rows)
    return msgspec.structs.replace(chunk, rows=msgspec.Raw(encode(rows)))


def test_no_transcript_was_edited_added_or_dropped() -> None:
    found = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.glob("v*/*.json")}
    assert {name: hashlib.blake2b(body, digest_size=16).hexdigest() for name, body in found.items()} == PINNED


def test_every_version_served_has_its_transcripts() -> None:
    versions = {f"v{version}" for version in range(OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION + 1)}
    assert versions == {name.partition("/")[0] for name in PINNED}


def test_every_message_and_every_intent_is_in_a_transcript() -> None:
    newest = [each for name, each in TRANSCRIPTS.items() if name.startswith(f"v{PROTOCOL_VERSION}/")]
    recorded = {frame["message"] for each in newest for frame in each.get("frames", [each])}
    assert {each.__name__ for each in (*messages.MESSAGES, *INTENTS, Verdict)} <= recorded


@every_message
def test_a_message_is_read_and_would_be_sent_again_byte_for_byte(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    body = bytes.fromhex(transcript["hex"])
    understood = decode(body, message_type(transcript["message"]))
    assert says_all(readable(understood), transcript["value"])
    assert decode(encode(understood), type(understood)) == understood
    assert encode(understood) == body or not name.startswith(NEWEST)


@every_page
def test_a_page_is_read_and_would_be_sent_again_frame_for_frame(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    stream = bytes.fromhex(transcript["stream_hex"])
    assert zstd.decompress(stream) == framed(transcript["frames"])
    understood = list(PageReader().feed(stream))
    assert all(says_all(readable(each), frame["value"]) for each, frame in zip(understood, transcript["frames"], strict=True))
    again = [rows_anew(each) if isinstance(each, RowChunk) else each for each in understood]
    assert [encode(each).hex() for each in again] == [frame["hex"] for frame in transcript["frames"]] or not name.startswith(NEWEST)


@every_page
def test_a_trailer_carries_the_digest_of_the_frames_before_it(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    *before, last = transcript["frames"]
    assert decode(bytes.fromhex(last["hex"]), PageTrailer).digest == digest(framed(before))


@every_page
def test_a_page_may_come_in_pieces_of_any_size(name: str) -> None:
    stream = bytes.fromhex(TRANSCRIPTS[name]["stream_hex"])
    reader = PageReader()
    piecemeal = [each for byte in stream for each in reader.feed(bytes([byte]))]
    assert piecemeal == list(PageReader().feed(stream))


def test_the_intents_of_a_push_carry_their_own_digests() -> None:
    request = decode(bytes.fromhex(TRANSCRIPTS[NEWEST + "push_request.json"]["hex"]), PushRequest)
    for envelope in request.intents:
        intent = intent_of(envelope)
        assert type(intent).__name__ == envelope.kind
        assert type(intent).schema_version == envelope.schema_version
        assert digest(envelope.body) == envelope.digest
        assert encode(intent) == envelope.body


def test_intents_of_the_first_schema_are_read_in_todays_words() -> None:
    request = decode(bytes.fromhex(TRANSCRIPTS["v1/push_request.json"]["hex"]), PushRequest)
    said = {envelope.kind: readable(intent_of(envelope)) for envelope in request.intents}
    assert set(said) == {"CreateCustomer", "SubmitOrder", "AmendOrder", "CancelOrder"}
    for kind, intent in said.items():
        assert says_all(intent, TRANSCRIPTS[f"v1/intent_{kind}.json"]["value"])
    assert all(digest(envelope.body) == envelope.digest for envelope in request.intents)


def test_the_verdicts_of_a_reply_are_read() -> None:
    reply = decode(bytes.fromhex(TRANSCRIPTS["v1/push_reply.json"]["hex"]), PushReply)
    assert {result.status for result in reply.results} == set(PushStatus)
    for result in reply.results:
        if result.status is PushStatus.DECIDED:
            assert decode_verdict(result.verdict).intent_id == result.intent_id
            assert encode(decode_verdict(result.verdict)) == result.verdict


def test_a_page_that_asks_for_much_memory_is_refused() -> None:
    """A window of 128 MiB costs its sender some bytes, and a reader that does not look 128 MiB."""
    parameters = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=parameters)
    page = compressor.compress(bytes(1024)) + compressor.flush()
    with pytest.raises(WireError, match=r"(?i)memory"):
        list(PageReader().feed(page))
