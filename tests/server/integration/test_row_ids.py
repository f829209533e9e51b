"""Ids of imported rows: the same for the same key, another for any other."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.integration.row_ids import imported_id, key_text

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_an_id_never_changes() -> None:
    assert imported_id("adventureworks", "customer", "29825") == UUID("e72770e7-4693-876a-b195-ec2cd4fa3bc5")


@given(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_an_id_is_a_uuid_of_version_8(source: str, entity: str, key: list[str]) -> None:
    found = imported_id(source, entity, key_text(key))
    assert (found.version, found.variant) == (8, "specified in RFC 4122")


@given(st.tuples(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3)), st.tuples(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3)))
def test_ids_are_equal_only_where_keys_are(one: tuple[str, str, list[str]], other: tuple[str, str, list[str]]) -> None:
    same = imported_id(one[0], one[1], key_text(one[2])) == imported_id(other[0], other[1], key_text(other[2]))
    assert same == (one == other)
