"""The pages for those who run the proxy: their links lead somewhere, and their settings are settings."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.config import load

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n|^\n)+", re.MULTILINE)
SECTION = re.compile(r"\[{1,2}[a-z_]+(\.\S+)?\]{1,2}(\s+#.*)?$", re.MULTILINE)
RELATIVE_FILE = re.compile(r'^\w*file = "(\w[\w.]*)"', re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: the second of a name has `-1` behind it."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(page.read_text()):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def settings_in(text: str) -> Iterator[str]:
    """Blocks that begin with a section's name, fenced or indented."""
    unfenced = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() for block in INDENTED.findall(unfenced)]
    yield from FENCED.findall(text)
    yield from (f"{block}\n" for block in blocks if SECTION.match(block))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for place, anchor in LINK.findall(page.read_text()):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), place
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{place}#{anchor}"


EXAMPLES = [(page, block) for page in PAGES for block in settings_in(page.read_text())]


def test_examples_are_found():
    assert {"README.md", "docs/limits.md", "docs/tls.md"} <= {name_of(page) for page, _ in EXAMPLES}


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[name_of(page) for page, _ in EXAMPLES])
def test_an_example_of_settings_is_one(page: Path, block: str, tmp_path: Path):
    for name in RELATIVE_FILE.findall(block):
        (tmp_path / name).touch()
    path = tmp_path / "dbproxy.toml"
    path.write_text(block)
    load(path, {}, {})
