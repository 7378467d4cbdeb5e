"""Files are written whole or not at all; folder names are safe and unique."""

from pathlib import Path

import pytest

from unflat.outputs.files import safe_names, whole, write_bytes, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = write_text(tmp_path / "new" / "a.txt", "old")
    with pytest.raises(RuntimeError, match="half way"), whole(path) as part:
        part.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_write_replaces_what_was_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"long old content")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    made = write_text(tmp_path / "made", "x")
    assert made.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_names_lose_folder_and_suffix_and_stay_unique() -> None:
    assert safe_names(["cats/a.jpg", "dogs\\A.png", "a.webp"]) == ["a", "A-2", "a-3"]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..", "", "a/b/..", "con.jpg", "x" * 300, "a b:c*?.png", ".hidden", "照片.jpg", "é.jpg"],
)
def test_no_name_leaves_its_folder(name: str, tmp_path: Path) -> None:
    (safe,) = safe_names([name])
    assert (tmp_path / safe).parent == tmp_path
    assert safe not in {"", ".", ".."} and len(safe) <= 81
    assert not set(safe) & set(' /\\:*?"<>|.')
    assert safe.casefold() != "con"


def test_a_made_up_number_does_not_meet_a_real_one() -> None:
    assert len({n.casefold() for n in safe_names(["a.png", "a-2.png", "a.jpg", "a-2.jpg", "A.gif"])}) == 5
