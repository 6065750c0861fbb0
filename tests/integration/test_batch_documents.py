"""The worked examples of docs/batches.md, as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.batches import ask
from tests.support.postgres import Database

PAGE = Path(__file__).parents[2] / "docs" / "batches.md"
BLOCK = re.compile(r"^```(sql|sh|csv)(?: (\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(
    re.findall(r"^## Worked example: (.+?)\n(.*?)(?=^## )", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_example_does_what_it_says(database: Database, name: str, tmp_path: Path):
    for language, file, text in BLOCK.findall(EXAMPLES[name]):
        if language == "sql":
            ask(database, text)
            continue
        if language == "csv":
            (tmp_path / file).write_text(text)
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            expected = int(re.search(r"# exits (\d+)$", line)[1]) if "# exits" in line else 0
            done = subprocess.run(
                [sys.executable, "-m", *words] if words[0] == "dbproxy" else words,
                cwd=tmp_path,
                env={**os.environ, "DATABASE_URL": database.dsn},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == expected, (line, done.stdout, done.stderr)
    assert ask(database, "SELECT state FROM dbproxy.batch_jobs ORDER BY created DESC LIMIT 1") == [("done",)]


def test_load_has_left_what_the_page_says(database: Database, tmp_path: Path):
    test_worked_example_does_what_it_says(database, "a load", tmp_path)
    assert ask(database, "SELECT id, name, country, since::text FROM customers ORDER BY id") == [
        (1, "Ada", "FR", "2024-01-01"),
        (2, "Grace,\nof two lines", "DE", "2024-02-29"),
        (3, "Edsger D.", "DE", "2024-03-01"),
    ]
    found = ask(database, "SELECT key->>0, sqlstate, message FROM dbproxy.batch_errors")
    assert found == [("3", "22008", 'date/time field value out of range: "2024-02-30"')]


def test_example_in_python_runs(database: Database):
    ask(
        database,
        "CREATE TABLE orders (id int PRIMARY KEY, cents int, euros int); INSERT INTO orders VALUES (1, 0)",
    )
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    program = example.replace("postgresql://app@db/app", database.dsn)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("zeros done 1 0\n"), done


def test_there_are_examples():
    assert {"a backfill", "a purge", "a load"} <= EXAMPLES.keys()
