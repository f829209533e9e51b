from pathlib import Path

import pytest

from server.demo.premises import FolderNotOursError, Premises


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "roadbook.db").write_text("somebody's company")
    with pytest.raises(FolderNotOursError, match="was not made by"):
        Premises(tmp_path).clear()
    assert (tmp_path / "roadbook.db").read_text() == "somebody's company"


def test_a_file_is_no_folder_to_tell_in(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(FolderNotOursError):
        Premises(tmp_path / "demo").clear()


def test_a_folder_that_the_demo_made_is_made_anew_but_for_what_others_put_there(tmp_path: Path) -> None:
    premises = Premises(tmp_path / "new" / "demo")
    premises.clear()
    for name in ("roadbook.db", "roadbook.db-wal", "femke.db", "server.log", "notes.txt"):
        (premises.folder / name).write_text(name)
    premises.clear()
    assert sorted(path.name for path in premises.folder.iterdir()) == [".roadbook-demo", "notes.txt"]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    Premises(tmp_path).clear()
    assert (tmp_path / ".roadbook-demo").exists()


def test_stopping_a_server_that_never_ran_is_nothing(tmp_path: Path) -> None:
    with Premises(tmp_path) as premises:
        assert not premises.is_well()
        assert premises.server_pid is None
