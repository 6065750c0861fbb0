"""What PostgreSQL reads when it parses a text, so that equal texts are not equal statements to all sessions.

A string constant becomes a value at once, by the input function of its type: that may look at the session's settings,
at the clock ('now'), or at the catalog ('t'::regclass). The grammar does not tell a constant's type, so a string is
taken for what it may be. What a shape tells is a bit of its `Statement.constants`; what each text tells is added to it.
"""

import re

from dbproxy.sql.setters import Node, enum_name
from dbproxy.sql.statement import MOMENTARY, OWN_TYPES, READS_SETTINGS

_STRING = re.compile(
    rb"'|\$[A-Za-z_\x80-\xff]*\$|[\x80-\xff]"
)  # also bytes that client_encoding gives a meaning
# A word, or what may spell it: escapes, or a string that goes on in another line.
_MOMENT = re.compile(
    rb"(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])(?!\s*\()|\\[0-7xu]|u&'|'[ \t]*[\r\n]\s*'",
    re.IGNORECASE,
)
_MOMENT_WORD = re.compile(rb"(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_TOKEN = re.compile(
    r"""--[^\r\n]*|/\*.*?\*/|"[^"]*"|(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$""",
    re.DOTALL,
)
_TEXTS = frozenset({"text", "varchar", "bpchar", "char", "name", "json", "jsonb", "xml"})
_NAMES = """
    bit bool box bytea cid cidr circle cstring date datemultirange daterange float4 float8 inet int2 int2vector int4
    int4multirange int4range int8 int8multirange int8range interval jsonpath line lseg macaddr macaddr8 money
    nummultirange numrange numeric oid oidvector path pg_lsn pg_snapshot point polygon record regclass regcollation
    regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype serial serial4
    serial8 bigserial smallserial time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange
    tstzrange tsvector txid_snapshot unknown uuid varbit void xid xid8
"""
_BUILTIN = _TEXTS | frozenset(_NAMES.split())
_VARIABLE = frozenset({"param_ref", "column_ref"})


def judge_text(text: bytes) -> int:
    """What this text has in it, whatever its shape."""
    if not _STRING.search(text):
        return 0
    return READS_SETTINGS | MOMENTARY if _MOMENT.search(text) else READS_SETTINGS


def has_moment(text: str) -> bool:
    """Whether a view's query, a policy or the body of a function has a string in it like those of `may_be_moment`."""
    found = (token.group() for token in _TOKEN.finditer(text))
    return any(token[0] in "'$eE" and may_be_moment(token.encode()) for token in found)


def may_be_moment(value: bytes) -> bool:
    """Whether a parameter's value, in text, may be one that PostgreSQL reads by the clock: `now`, `today` …."""
    return _MOMENT_WORD.search(value) is not None


def judge_cast(node: Node) -> int:
    """Of a TypeCast."""
    names = [part.string.sval for part in node.type_name.names]
    name = names[-1] if names else ""
    own = name not in _BUILTIN or (len(names) > 1 and names[0] != "pg_catalog")
    found = OWN_TYPES if own else 0
    if name.startswith("reg") and not own:
        found |= MOMENTARY
    if own or name in _TEXTS:  # an output function may be folded: that of 0.1::float8 + 0.2
        argument = node.arg
        while argument.WhichOneof("node") == "type_cast":
            argument = argument.type_cast.arg
        found |= 0 if argument.WhichOneof("node") in _VARIABLE else READS_SETTINGS
    return found


def judge_comparison(node: Node) -> int:
    """Of an A_Expr: what `= NULL` means is a setting."""
    operands = (node.lexpr, node.rexpr)
    nulls = any(one.WhichOneof("node") == "a_const" and one.a_const.isnull for one in operands)
    return READS_SETTINGS if nulls and enum_name(node, "kind") == "AEXPR_OP" else 0
