"""What the README promises."""

import re
from pathlib import Path

import pytest

from unflat import catalogue, records

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_methods_is_what_the_records_say() -> None:
    table = records.status_table({entry.name: entry.title for entry in catalogue.methods()})
    assert table in README, "run `make tables`"


def test_python_takes_at_most_ten_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    assert all(len([line for line in block.splitlines() if line.strip()]) <= 10 for block in blocks)


def test_the_first_commands_are_the_two_that_do_everything() -> None:
    first = re.search(r"```\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert [line.partition("#")[0].strip() for line in first[1].splitlines()] == ["make demo", "make test"]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))])
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", page.read_text())
    broken = [link for link, _ in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken, f"{page.name} links to {broken}"


def test_headings_that_are_linked_exist() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]*)\)", page.read_text()):
            target = page.parent / link if link else page
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name} links to {link}#{anchor}"
