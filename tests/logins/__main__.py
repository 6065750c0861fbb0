"""`python -m tests.logins`: try every login, and write what came of it into docs/authentication.md."""

import tempfile
from pathlib import Path

from tests.logins.page import PAGE, write_page
from tests.logins.place import open_place

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    folder.chmod(0o755)
    with open_place(folder) as place:
        PAGE.write_text(write_page(PAGE.read_text(), place.run()))
