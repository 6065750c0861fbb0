"""`pool.server_reset_query`, `pool.server_check_query`: what PostgreSQL would fail each time is refused.

Each failure costs the connection.

The text is sent as one Query, whose statements run in one transaction (PostgreSQL: "Multiple Statements in a Simple
Query"): what cannot run inside a transaction block must be alone. Whether it is SQL at all, only PostgreSQL can say.
"""

import re

# What is no statement's own words: comments, texts, quoted names.
_ASIDE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1", re.DOTALL)
_ALONE = re.compile(
    r"DISCARD\s+ALL|VACUUM|ALTER\s+SYSTEM|(CREATE|DROP)\s+(DATABASE|TABLESPACE)|(COMMIT|ROLLBACK)\s+PREPARED"
    r"|REINDEX\s+(DATABASE|SYSTEM)|(CREATE|DROP|REINDEX)\b.*\bCONCURRENTLY\b",
    re.DOTALL | re.IGNORECASE,
)
EMPTY = "<empty>"
_OPENS = re.compile(r"BEGIN|START\s+TRANSACTION", re.IGNORECASE)
_ENDS = re.compile(r"COMMIT|END|ROLLBACK|ABORT", re.IGNORECASE)


def check_reset(query: str) -> str:
    """The text; ValueError if it cannot work."""
    if "\0" in query:
        raise ValueError("must not hold a NUL")
    statements = [text.strip() for text in _ASIDE.sub(" ", query).split(";") if text.strip()]
    alone = next((match for text in statements if (match := _ALONE.match(text))), None)
    if alone is not None and len(statements) > 1:
        what = " ".join(alone[0].split()).upper()
        raise ValueError(f"{what} must be the only statement: with others it would run inside a transaction")
    opened = False
    for text in statements:
        opened = bool(_OPENS.match(text)) or (opened and not _ENDS.match(text))
    if opened:
        raise ValueError("must not leave a transaction open")
    return query


def check_query(query: str) -> str:
    """The same of `server_check_query`; `<empty>` is PgBouncer's word for a Query without a statement."""
    return query if query == EMPTY else check_reset(query)
