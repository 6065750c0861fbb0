"""What a SQL text does to its session, by PostgreSQL's own grammar.

libpg_query is used here, in `plpgsql` and in `placeholder` only.
A text that cannot be read is UNKNOWN: the server may be newer than the grammar, and if the text is wrong it will say
so. That goes for what is nested too deeply to be handed over (some 30 levels), and for signs without end, too.
"""

import re

from google.protobuf.message import DecodeError
from postgast import PgQueryError, fingerprint, parse, scan

from dbproxy.sql.access import UNSEEN, Access, find_access
from dbproxy.sql.calls import Call, has_row_of_its_own, is_answerable, locate
from dbproxy.sql.findings import Findings
from dbproxy.sql.hint import MENTION, read_cache_hint, read_hint
from dbproxy.sql.nodes import judge, walk
from dbproxy.sql.reads import judge_reads
from dbproxy.sql.setters import Node
from dbproxy.sql.source import called_names, judge_source
from dbproxy.sql.statement import READS_SETTINGS, RECALLS, SIGNALS, UNKNOWN, Statement
from dbproxy.sql.transactions import find_end, judge_transactions

__all__ = [
    "UNREADABLE",
    "called_names",
    "classify",
    "examine",
    "find_calls",
    "find_explainable",
    "find_fingerprint",
    "find_first_end",
    "find_hints",
    "find_prepares",
    "judge_source",
]

_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_LITERALS = re.compile(r"\$\?(, \.\.\.)?")  # in a shape's text
_EXPLAINED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
LONGEST = 65536  # bytes of a text that is read for its PREPAREs, or as a view's query
# Signs of operators and comments, for which libpg_query takes the square of their number: seconds for 16 KiB of them.
_SIGNS = re.compile(rb"[-+*/<>=~!@#%^&|`?]{256}")
UNREADABLE = Statement(effects=UNKNOWN, varies=True, single=False, ends=True, constants=READS_SETTINGS)


def _readable(text: bytes) -> str:
    """What libpg_query is given. PgQueryError if that would take too long, UnicodeDecodeError if it is no text."""
    if _SIGNS.search(text):
        raise PgQueryError("too many signs in a row")
    return text.decode()


def classify(text: bytes) -> Statement:
    """What all statements of the text together do to the session."""
    return examine(text)[0]


def examine(text: bytes) -> tuple[Statement, Access]:
    """That, and which relations they read and write."""
    if b"\0" in text:  # where libpg_query would stop
        return UNREADABLE, UNSEEN
    try:
        statements = parse(_readable(text)).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return UNREADABLE, UNSEEN
    findings = Findings(varies=b'&"' in text)  # U&"…" UESCAPE '…': a literal makes the name
    visited = [(raw.stmt, judge(findings, raw.stmt)) for raw in statements]
    judge_reads(findings, visited)
    judge_transactions(findings, visited)
    findings.hint, findings.cache_hint = find_hints(text)
    if findings.effects & (RECALLS | SIGNALS):
        findings.bare = findings.effects | RECALLS | SIGNALS == RECALLS | SIGNALS and _is_bare(
            text, findings, statements
        )
        findings.inserts_first = _inserts_first(statements)
    return findings.statement(single=len(statements) <= 1), find_access(
        [raw.stmt for raw in statements], text
    )


def find_first_end(text: bytes) -> str:
    """What ends a transaction that only reads as the text's first statement does, COMMIT or ROLLBACK; ""."""
    try:
        statements = parse(_readable(text)).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return ""
    return find_end(statements[0].stmt) if statements else ""


def find_explainable(text: bytes) -> bool | None:
    """Whether a text that is one query, which EXPLAIN may stand ahead of, has parameters; None: it is none.

    Of two statements only the first would be explained, and the second would run.
    """
    try:
        statements = parse(_readable(text)).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return None
    if len(statements) != 1 or statements[0].stmt.WhichOneof("node") not in _EXPLAINED:
        return None
    nodes = [node for _, node in walk(Findings(), statements[0].stmt)]
    if any(node.DESCRIPTOR.name == "IntoClause" for node in nodes):
        return None
    return any(_token_kind(token) == "PARAM" for token in scan(_readable(text)).tokens)


def find_fingerprint(text: str) -> str:
    """libpg_query's, of a shape's text as of each of its texts; "" if literals count, or are needed to read it."""
    for literals in (("0", "1"), ("'a'", "'b'")):  # the grammar takes one of these nearly everywhere
        try:
            texts = [
                _readable(_LITERALS.sub(literal, text).encode(errors="surrogateescape"))
                for literal in literals
            ]
            found = {str(fingerprint(text).hex) for text in texts}
        except (PgQueryError, DecodeError, UnicodeDecodeError):
            continue
        return found.pop() if len(found) == 1 else ""
    return ""


def _is_bare(text: bytes, findings: Findings, statements: list[Node]) -> bool:
    one = len(statements) == 1 and has_row_of_its_own(statements[0].stmt)
    return one and not findings.functions and all(map(is_answerable, find_calls(text)))


def _inserts_first(statements: list[Node]) -> bool:
    """Whether `currval` and `lastval` are called behind an INSERT only: it is that INSERT's number that they say."""
    for raw in statements:
        findings = Findings()
        walk(findings, raw.stmt)
        if findings.effects & RECALLS:
            return False
        if raw.stmt.WhichOneof("node") == "insert_stmt":
            return True
    return False


def find_calls(text: bytes) -> list[Call]:
    """Where a *bare* text (sql.statement) calls what only the proxy can answer.

    Nowhere if it cannot be read: one of its shape could, but its own values are no text.
    """
    try:
        root = parse(_readable(text)).stmts[0].stmt
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return []
    nodes = [node for kind, node in walk(Findings(), root) if kind == "FuncCall"]
    tokens = [
        (token.start, token.end)
        for token in scan(_readable(text)).tokens
        if _token_kind(token) not in _COMMENTS
    ]
    return locate(text, nodes, tokens)


def find_hints(text: bytes) -> tuple[str, str]:
    """The first hint in a comment of the text about its host, and about keeping; "" if there is none.

    The lexer tells a comment from a string.
    """
    if not MENTION.search(text):
        return "", ""
    try:
        tokens = scan(_readable(text)).tokens
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return "", ""
    comments = [text[token.start : token.end] for token in tokens if _token_kind(token) in _COMMENTS]
    first = [next(filter(None, map(read, comments)), "") for read in (read_hint, read_cache_hint)]
    return first[0], first[1]


def find_prepares(text: bytes) -> dict[str, bytes]:
    """The PREPAREs in a text of several statements, by name; of one with the same name the first. None if it is one."""
    if len(text) > LONGEST:
        return {}
    try:
        statements = parse(_readable(text)).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return {}
    if len(statements) == 1:  # with its comments and its semicolon, as PostgreSQL shows it
        return {}
    found: dict[str, bytes] = {}
    for raw in statements:
        if raw.stmt.WhichOneof("node") == "prepare_stmt":
            end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(text)
            found.setdefault(raw.stmt.prepare_stmt.name, text[raw.stmt_location : end])
    return found


def _token_kind(token: Node) -> str:
    name: str = token.DESCRIPTOR.fields_by_name["token"].enum_type.values_by_number[token.token].name
    return name
