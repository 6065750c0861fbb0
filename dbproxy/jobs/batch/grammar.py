"""PostgreSQL's grammar, asked in a process of its own, which ends with its answer.

It is 10 MiB that a job would have for as long as it runs. Where this process has it anyway, it is asked here.
"""

import os
import pickle
import subprocess
import sys

from dbproxy.sql.chunked import Chunked, Unreadable

ANSWER = f"from {__name__} import answer; answer()"


def read(text: str) -> Chunked:
    """Raises Unreadable. It may take a quarter of a second."""
    if "dbproxy.sql.placeholder" in sys.modules or not sys.executable:
        from dbproxy.sql import placeholder  # not above, for its 10 MiB

        return placeholder.read(text)
    asked = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-P", "-c", ANSWER],  # -P: whatever there is in this folder
        input=text.encode(errors="surrogateescape"),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
        start_new_session=True,  # Ctrl-C is for us alone: it would be no answer, as if the statement were wrong
    )
    if asked.returncode != 0:
        raise Unreadable("PostgreSQL's grammar gives up on it")
    found: Chunked | Unreadable = pickle.loads(asked.stdout)  # noqa: S301  # our own
    if isinstance(found, Unreadable):
        raise found
    return found


def answer() -> None:
    from dbproxy.sql import placeholder  # as above

    try:
        found: Chunked | Unreadable = placeholder.read(
            sys.stdin.buffer.read().decode(errors="surrogateescape")
        )
    except Unreadable as error:
        found = error
    sys.stdout.buffer.write(pickle.dumps(found))
