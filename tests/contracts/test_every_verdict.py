"""What a new code and a new intent inherit."""

from pathlib import Path
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.intents import INTENTS, AnyIntent, Intent
from sync_protocol.verdicts import PRECEDENCE, REMEDIES, Code
from sync_protocol.wire import codec
from tests.support.strategies import instances

PROTOCOL = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"
ROLES = {"rep", "buyer", "manager", "admin"}
every_code = pytest.mark.parametrize("code", Code, ids=str)
every_intent = pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.__name__)


@every_code
def test_every_code_says_what_the_user_can_do(code: Code) -> None:
    assert REMEDIES[code].endswith(".")
    assert len(REMEDIES[code]) <= 160


def test_codes_have_one_order_of_precedence() -> None:
    assert sorted(PRECEDENCE, key=lambda code: PRECEDENCE[code]) == list(Code)


@pytest.mark.skipif(not PROTOCOL.exists(), reason="the protocol is not written down yet")
@every_code
def test_every_code_has_its_section_in_the_protocol(code: Code) -> None:
    headings = [line for line in PROTOCOL.read_text().splitlines() if line.startswith(("#", "| `"))]
    assert any(f"`{code}`" in heading for heading in headings)


def test_the_union_and_the_list_of_intents_are_one() -> None:
    assert get_args(AnyIntent) == INTENTS
    assert {subclass for subclass in Intent.__subclasses__() if subclass.__module__.startswith("sync_protocol")} == set(INTENTS)


@every_intent
def test_every_intent_names_who_may_ask(intent: type[Intent]) -> None:
    assert intent.roles
    assert intent.roles <= ROLES


@every_intent
@given(data=st.data())
def test_every_intent_names_its_lanes(intent: type[Intent], data: st.DataObject) -> None:
    lanes = data.draw(instances(intent)).lanes()
    assert lanes
    assert all(isinstance(lane, UUID) for lane in lanes)


@every_intent
@given(data=st.data())
def test_every_intent_survives_the_wire(intent: type[Intent], data: st.DataObject) -> None:
    asked = data.draw(instances(intent))
    assert codec.decode_intent(codec.encode(asked)) == asked


@every_intent
def test_an_intent_with_an_unknown_field_is_refused(intent: type[Intent]) -> None:
    body = codec.encode({"intent": intent.__name__, "discount_by_the_device": 1})
    with pytest.raises(codec.WireError):
        codec.decode_intent(body)
