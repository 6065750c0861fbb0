"""What a SQL text does to its session, by PostgreSQL's own grammar: libpg_query, which only this module imports.

A text that cannot be read is UNKNOWN: the server may be newer than the grammar, and if the text is wrong it will say
so. That goes for what is nested too deeply to be handed over (some 30 levels), too.
"""

from google.protobuf.message import DecodeError
from postgast import PgQueryError, parse, scan

from dbproxy.sql.access import UNSEEN, Access, find_access
from dbproxy.sql.calls import Call, has_row_of_its_own, is_answerable, locate
from dbproxy.sql.findings import Findings
from dbproxy.sql.hint import MENTION, read_hint
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
    "find_first_end",
    "find_hint",
    "find_prepare",
    "judge_source",
]

_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_EXPLAINED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
UNREADABLE = Statement(effects=UNKNOWN, varies=True, single=False, ends=True, constants=READS_SETTINGS)


def classify(text: bytes) -> Statement:
    """What all statements of the text together do to the session."""
    return examine(text)[0]


def examine(text: bytes) -> tuple[Statement, Access]:
    """That, and which relations they read and write."""
    if b"\0" in text:  # where libpg_query would stop
        return UNREADABLE, UNSEEN
    try:
        statements = parse(text.decode()).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return UNREADABLE, UNSEEN
    findings = Findings(varies=b'&"' in text)  # U&"…" UESCAPE '…': a literal makes the name
    visited = [(raw.stmt, judge(findings, raw.stmt)) for raw in statements]
    judge_reads(findings, visited)
    judge_transactions(findings, visited)
    findings.hint = find_hint(text)
    if findings.effects & (RECALLS | SIGNALS):
        findings.bare = findings.effects | RECALLS | SIGNALS == RECALLS | SIGNALS and _is_bare(
            text, findings, statements
        )
        findings.inserts_first = _inserts_first(statements)
    return findings.statement(single=len(statements) <= 1), find_access([raw.stmt for raw in statements])


def find_first_end(text: bytes) -> str:
    """What ends a transaction that only reads as the text's first statement does, COMMIT or ROLLBACK; ""."""
    try:
        statements = parse(text.decode()).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return ""
    return find_end(statements[0].stmt) if statements else ""


def find_explainable(text: bytes) -> bool | None:
    """Whether a text that is one query, which EXPLAIN may stand ahead of, has parameters; None: it is none.

    Of two statements only the first would be explained, and the second would run.
    """
    try:
        statements = parse(text.decode()).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return None
    if len(statements) != 1 or statements[0].stmt.WhichOneof("node") not in _EXPLAINED:
        return None
    nodes = [node for _, node in walk(Findings(), statements[0].stmt)]
    if any(node.DESCRIPTOR.name == "IntoClause" for node in nodes):
        return None
    return any(_token_kind(token) == "PARAM" for token in scan(text.decode()).tokens)


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
    """Where a *bare* text (sql.statement) calls what only the proxy can answer."""
    root = parse(text.decode()).stmts[0].stmt
    nodes = [node for kind, node in walk(Findings(), root) if kind == "FuncCall"]
    tokens = [
        (token.start, token.end)
        for token in scan(text.decode()).tokens
        if _token_kind(token) not in _COMMENTS
    ]
    return locate(text, nodes, tokens)


def find_hint(text: bytes) -> str:
    """The first hint in a comment of the text, "" if there is none; the lexer tells a comment from a string."""
    if not MENTION.search(text):
        return ""
    try:
        tokens = scan(text.decode()).tokens
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return ""
    comments = (text[token.start : token.end] for token in tokens if _token_kind(token) in _COMMENTS)
    return next(filter(None, map(read_hint, comments)), "")


def find_prepare(text: bytes, name: str) -> bytes:
    """The PREPARE of this name in a text that may hold more statements; the whole text if it is not found."""
    try:
        statements = parse(text.decode()).stmts
    except (PgQueryError, DecodeError, UnicodeDecodeError):
        return text
    if len(statements) == 1:  # with its comments and its semicolon, as PostgreSQL shows it
        return text
    for raw in statements:
        if raw.stmt.WhichOneof("node") == "prepare_stmt" and raw.stmt.prepare_stmt.name == name:
            return text[raw.stmt_location : raw.stmt_location + raw.stmt_len if raw.stmt_len else len(text)]
    return text


def _token_kind(token: Node) -> str:
    name: str = token.DESCRIPTOR.fields_by_name["token"].enum_type.values_by_number[token.token].name
    return name
