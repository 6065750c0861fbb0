"""The pictures in docs/ show what is there, and need nothing from outside."""

import html
import re
from pathlib import Path

from tests.unit.terminal.rows import FULL
from tests.unit.terminal.test_screen import draw

PICTURE = Path(__file__).parents[2] / "docs" / "top.svg"


def test_picture_of_top_fetches_nothing():
    assert not re.findall(r"url\(|href|@font-face|<script", PICTURE.read_text().replace("url(#", ""))


def test_picture_of_top_has_the_sections_of_today():
    shown = html.unescape(re.sub(r"<[^>]+>", " ", PICTURE.read_text())).replace("\xa0", " ")
    titles = {line.split()[0] for line in draw(FULL) if line.split()[:1] and line.split()[0].isupper()}
    assert {"HOSTS", "POOLS", "TRAFFIC", "HOLDERS", "WAITS"} <= titles
    assert not [title for title in titles - {"QUERIES"} if title not in shown]
