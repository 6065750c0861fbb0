"""A terminal's picture as SVG that needs nothing from outside: pages that are read offline show it, too."""

import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

FONT = re.compile(
    r"@font-face \{\{.*?\}\}\s*", re.DOTALL
)  # fetched from elsewhere; readers have fonts of their own
FORMAT = FONT.sub("", CONSOLE_SVG_FORMAT).replace(
    "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
)


def export(screen: Console, title: str, name: str) -> str:
    """What was printed on a screen that records; `name` keeps the classes of two pictures apart."""
    return screen.export_svg(title=title, code_format=FORMAT, unique_id=name)
