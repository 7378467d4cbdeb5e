"""The report is one file, complete in itself, and asks nobody for anything."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unflat.outputs import report
from unflat.outputs.photos import write_outputs
from unflat.outputs.report import Table, write_report

from .conftest import World

VENDOR = Path(report.__file__).parent / "vendor"


class Page(HTMLParser):
    """What a page's elements point to, its policy, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[tuple[str, str]] = []
        self.policy = ""
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        held = dict(attrs)
        self.sources += [(tag, held[name] or "") for name in ("src", "href", "poster") if name in held]
        if held.get("http-equiv") == "Content-Security-Policy":
            self.policy = held["content"] or ""
        if tag in ("meta", "img"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"<{tag}> is closed where another element is open"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def outputs(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_outputs(world.prediction, world.photos, out, size=32)
    return out


def test_everything_is_inside_and_nothing_may_be_fetched(outputs: Path) -> None:
    page = Page(write_report(outputs / "report.html", outputs).read_text())
    assert page.open == []
    assert page.sources and all(source.startswith("data:") for _, source in page.sources)
    assert "default-src 'none'" in page.policy and "http" not in page.policy and "*" not in page.policy
    tags = [tag for tag, _ in page.sources]
    assert tags.count("model-viewer") == 2 and tags.count("video") == 4 and tags.count("img") == 20


def test_what_is_embedded_is_what_was_written(outputs: Path) -> None:
    page = Page(write_report(outputs / "report.html", outputs).read_text())
    (mesh, *_), (photo, *_) = ([s for tag, s in page.sources if tag == wanted] for wanted in ("model-viewer", "img"))
    assert base64.b64decode(mesh.split(",")[1]) == (outputs / "one" / "mesh_canonical.glb").read_bytes()
    assert mesh.startswith("data:model/gltf-binary;base64,")
    assert base64.b64decode(photo.split(",")[1]) == (outputs / "one" / "photo.png").read_bytes()


def test_figures_settings_and_warnings_are_shown_as_text(outputs: Path) -> None:
    table = Table(
        "Figures", ("", "SIDE", "MAD"), [("this <run>", 0.8123456, 16.5), ("constant", None, 34)], note="lower"
    )
    path = write_report(
        outputs / "r.html",
        outputs,
        title="Cats & dogs",
        tables=[table],
        settings={"width": 64, "training": {"steps": 3000}, "without": ()},
        warnings=["5 < 10 <script>alert(1)</script>"],
    )
    words = "|".join(Page(path.read_text()).words)
    for shown in (
        "Cats & dogs",
        "this <run>",
        "0.8123",
        "16.5",
        "34",
        "training.steps",
        "3000",
        "alert(1)",
        "3 settings",
    ):
        assert shown in words, shown
    assert "yaw +29°, pitch +6°, roll +6°" in words and "from above and left" in words


def test_only_the_first_photos_get_a_model_and_the_page_says_so(outputs: Path) -> None:
    text = write_report(outputs / "few.html", outputs, models=1, photos=1, megabytes_of_video=0.0).read_text()
    page = Page(text)
    assert [tag for tag, _ in page.sources].count("model-viewer") == 1 and "video" not in dict(page.sources)
    assert "The first 1 of 2 are shown" in "".join(page.words)
    none = write_report(outputs / "none.html", outputs, models=0).read_text()
    assert "<script" not in none and "The first 0 have a mesh" in none and len(none) < len(text)


def test_a_folder_without_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no outputs\.json"):
        write_report(tmp_path / "r.html", tmp_path)
    (tmp_path / "outputs.json").write_text('{"format": 99, "photos": []}')
    with pytest.raises(ValueError, match="format 99, this version reads 1"):
        write_report(tmp_path / "r.html", tmp_path)


def test_the_viewer_is_the_published_file_with_its_licences() -> None:
    notice = (VENDOR / "NOTICE.txt").read_text()
    (digest,) = re.findall(r"sha256 ([0-9a-f]{64})", notice)
    content = (VENDOR / "model-viewer.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert b"</script" not in content, "it could not stand inside a page"
    assert "Apache License" in (VENDOR / "LICENSE-model-viewer.txt").read_text()
    assert all(name in notice for name in ("three.js", "Lit", "gainmap-js", "meshoptimizer", "fflate"))
