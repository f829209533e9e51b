"""Settings as the environment gives them, and how one that cannot be understood is refused."""

import msgspec
import pytest

from server.settings import InvalidSettingError, Settings, settings_from_environment, variable_of

RANGES = {
    "port": "1 to 65535",
    "workers": "1 to 64",
    "retention_days": "1 to 3650",
    "price_history_days": "1 to 3650",
    "session_hours": "1 to 8760",
    "enrolment_minutes": "1 to 10080",
    "pool_size": "1 to 200",
    "images_max": "0 to 1000",
    "images_rows_min": "1",
}
WRONG = {
    **{field: ("x", f"a whole number from {numbers}") for field, numbers in RANGES.items()},
    "jobs": ("maybe", "true or false"),
    "host": ("", "a host name or an address, such as 127.0.0.1"),
    "images_url": ("http://x", "a folder whose name is no address, or s3://bucket/prefix"),
}


def test_every_setting_has_a_wrong_value_here_but_the_database_which_its_own_module_reads() -> None:
    assert {*WRONG, "database_url"} == set(Settings.__struct_fields__)


@pytest.mark.parametrize("field", WRONG)
def test_a_variable_that_cannot_be_understood_is_named_alone_with_its_value_and_what_it_takes(field: str) -> None:
    given, takes = WRONG[field]
    with pytest.raises(InvalidSettingError) as refused:
        settings_from_environment({"ROADBOOK_SESSION_HOURS": "9", variable_of(field): given})
    assert str(refused.value) == f"ROADBOOK_{field.upper()} is {given!r}; it takes {takes}"


@pytest.mark.parametrize("place", ["", "images", "/srv/images", "./http:/x", "./images:v2", "s3://bucket", "s3://bucket/prefix"])
def test_images_are_in_a_folder_or_a_bucket_whatever_space_is_around_its_name(place: str) -> None:
    for given in (place, f" {place}\n"):
        assert settings_from_environment({"ROADBOOK_IMAGES_URL": given}).images_url == place


@pytest.mark.parametrize("place", [" http://x", "images:v2", "s3:// bucket", "s3://bucket\n/x", "images\nelsewhere"])
def test_what_looks_like_an_address_or_has_two_lines_is_no_folder(place: str) -> None:
    with pytest.raises(InvalidSettingError, match="it takes a folder whose name is no address"):
        settings_from_environment({"ROADBOOK_IMAGES_URL": place})


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("https://KEY:SECRET@minio/b", "'https://…@minio/b'"),
        ("s3://KEY:SEC/RET@bucket/prefix", "'s3://…@bucket/prefix'"),
        ("https://KEY:S@CRET@minio", "'https://…@minio'"),
        ("KEY:SECRET@minio", "'…@minio'"),
        ("https://minio/b?X-Amz-Signature=SECRET", "'https://minio/b?…'"),
    ],
)
def test_a_key_in_an_address_is_not_repeated(place: str, shown: str) -> None:
    with pytest.raises(InvalidSettingError, match="ROADBOOK_IMAGES_URL is ") as refused:
        settings_from_environment({"ROADBOOK_IMAGES_URL": place})
    assert refused.value.fault == f"is {shown}"


def test_what_is_not_set_has_its_default() -> None:
    assert settings_from_environment({"ROADBOOK_JOBS": "false", "HOME": "/"}) == msgspec.structs.replace(Settings(), jobs=False)
