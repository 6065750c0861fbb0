"""What a function's source may do to the session that calls it, judged by its words, in whatever language it is.

A source is not parsed: each language has its own grammar, and SQL stands in strings of all of them. So words are
looked for, wherever they are. SET, RESET, LISTEN and the like are everyday words (`UPDATE t SET a = 1`); they count
where a statement can begin: at the start of the source or of a string, after `;`, BEGIN, THEN, ELSE or LOOP. As a
comment may stand between, the source is searched twice, as it is and without comments. SQL that is put together
(EXECUTE of anything but one literal, or what the other languages' interfaces run) may do anything.
"""

import re

from dbproxy.sql.functions import EFFECTS, RELATIONS
from dbproxy.sql.settings import fold, names_set
from dbproxy.sql.statement import (
    CHANGES,
    CLOSES,
    CREATES_TEMP,
    DEALLOCATES,
    DROPS,
    HOLDS,
    LISTENS,
    LOADS,
    NOTIFIES,
    PREPARES,
    RESETS,
    SEEDS,
    SETS,
    SETS_UNKNOWN,
    UNKNOWN,
)

_COMMENTS = re.compile(r"--[^\n\r]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_BEGINS = r"""(?:\A|[;'"`$>{\[(|]|\b(?:begin|atomic|then|else|loop|declare|as|do)\b)\s*"""
_NAME = r"""("?)([a-z_\x80-\U0010ffff][\w$]*(?:\.\w+)*)\1"""
_FLAGS = re.IGNORECASE
_NAME_LIMIT = 63  # bytes (PostgreSQL's NAMEDATALEN - 1)

_WORDS = {
    r"\btemp(?:orary)?\b|\bpg_temp": CREATES_TEMP,
    r"\bdrop\b|\breassign\b|\bset\s+schema\b|\bdiscard\b": DROPS,
    r"\b(?:create|alter|drop)\b": CHANGES,
    r"\bwith\s+hold\b": HOLDS,
    r"\bclose\b": CLOSES,
    _BEGINS + r"prepare\b(?!\s+transaction)": PREPARES,
    r"\bdeallocate\b": DEALLOCATES,
    _BEGINS + r"(?:un)?listen\b": LISTENS,
    _BEGINS + r"notify\b": NOTIFIES,
    _BEGINS + r"load\b": LOADS,
    r"\bupdate\s+(?:only\s+)?(?:pg_catalog\s*\.\s*)?pg_settings\b": SETS_UNKNOWN,
    r"\bdiscard\s+all\b|\bu&\"|\bspi_|\bplv8\b|\bplpy\b": UNKNOWN,
}
_EFFECTS = tuple((re.compile(pattern, _FLAGS), effect) for pattern, effect in _WORDS.items())
_FUNCTIONS = re.compile(rf"\b(?:{'|'.join(sorted(EFFECTS | RELATIONS, key=len, reverse=True))})\b", _FLAGS)

_LISTEN = re.compile(_BEGINS + r"listen\s+" + _NAME, _FLAGS)
_SET = re.compile(_BEGINS + r"set\b\s*(?:session\s+(?!authorization|characteristics))?", _FLAGS)
_NOT_SET = re.compile(r"local\b|transaction\b|constraints\b", _FLAGS)
_SET_NAMED = re.compile(_NAME + r"\s*(?:=|to\b|from\s+current\b)", _FLAGS)
_SET_SPECIAL = re.compile(
    r"(role|session\s+authorization|session\s+characteristics|time\s+zone|names|schema|xml\s+option)\b",
    _FLAGS,
)
_RESET = re.compile(
    _BEGINS
    + r"reset\b\s*(?:(session\s+authorization|time\s+zone|all)\b|"
    + _NAME.replace(r"\1", r"\2")
    + ")?",
    _FLAGS,
)
_SET_CONFIG = re.compile(r"\bset_config\b", _FLAGS)
_ARGUMENT = r"((?:'(?:[^']|'')*+'|\((?:[^()']|'[^']*+')*+\)|[^'(),])*+)"
_ARGUMENTS = re.compile(rf'"?\s*\({_ARGUMENT},{_ARGUMENT}(?:,{_ARGUMENT})?\)')
_LITERAL = re.compile(r"'([^'\\]+)'(?:\s*::\s*\w+)?")
_TRUE = re.compile(r"true|'(?:t|true|y|yes|on|1)'(?:\s*::\s*bool(?:ean)?)?", _FLAGS)

_DEFINES = re.compile(r"\b(?:function|procedure|routine|aggregate|extension|trigger|schema)\b", _FLAGS)

_EXECUTE = re.compile(r"\bexecute\b(?!\s+(?:function|procedure|on)\b)\s*", _FLAGS)
_EXECUTES_LITERAL = re.compile(
    r"(?:'(?:[^']|'')*+'|\$(\w*)\$(?>.*?\$\1\$)|format\s*\(\s*'(?:[^'%]|''|%[%IL])*+'[^;]*\))\s*(?:;|into\b|using\b|loop\b|\Z)",
    _FLAGS | re.DOTALL,
)

_CALLED = re.compile(r'(?:(?<![\w$])([a-z_\x80-\U0010ffff][\w$]*+)|"((?:[^"]|""){1,128}+)")\s*+\(', _FLAGS)
_KEYWORDS = """
    all and any array as between by case check coalesce distinct else elsif end except execute exists filter for
    foreach from grouping having if in intersect interval into is join key lateral limit loop not null nullif numeric
    on or over partition perform raise return returning returns row select set some table then union using values
    varchar when where while with within
"""
_NOT_CALLED = frozenset(_KEYWORDS.split())


def judge_source(source: str) -> tuple[int, frozenset[str]]:
    """The effects that a source may have, and the settings it may set or reset as far as it names them."""
    effects = 0
    settings: set[str] = set()
    for text in _readings(source):
        for pattern, effect in _EFFECTS:
            if not effects & effect and pattern.search(text):
                effects |= effect
        for word in _FUNCTIONS.findall(text):
            effects |= EFFECTS.get(word.lower(), 0) | RELATIONS.get(word.lower(), 0)
        for find in (_find_sets, _find_resets, _find_set_config, _find_executes):
            effects |= find(text, settings)
    return effects, frozenset(settings)


def spell_query(source: str) -> str:
    """The text of a function in SQL without what is no statement: BEGIN ATOMIC … END, RETURN …."""
    if source.startswith("BEGIN ATOMIC"):
        return source.removeprefix("BEGIN ATOMIC").removesuffix("END")
    return "SELECT" + source.removeprefix("RETURN") if source.startswith("RETURN") else source


def defines_functions(source: str) -> bool:
    """Whether a source may create, change or drop functions."""
    return _DEFINES.search(source) is not None


def listened_channels(source: str) -> list[str]:
    """The channels that a source may listen to, as far as it names them."""
    found = {
        name if quote else fold(name)
        for text in _readings(source)
        for quote, name in _LISTEN.findall(text)
        if len(name.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT
    }
    return sorted(found)


def called_names(source: str) -> frozenset[str]:
    """What stands before a parenthesis in a source: the functions it calls, and some words more."""
    found = {
        fold(plain) if plain else quoted.replace('""', '"')
        for text in _readings(source)
        for plain, quoted in _CALLED.findall(text)
    }
    return frozenset(found - _NOT_CALLED)


def _readings(source: str) -> set[str]:
    """The source as it is and without comments: what looks like one may stand in a string."""
    return {source, _COMMENTS.sub(" ", source)}


def _find_sets(text: str, settings: set[str]) -> int:
    effects = 0
    for start in _SET.finditer(text):
        at = start.end()
        if _NOT_SET.match(text, at):
            continue
        if found := _SET_SPECIAL.match(text, at):
            names = names_set(" ".join(found[1].lower().split()))
        elif found := _SET_NAMED.match(text, at):
            names = (fold(found[2]),)
        else:
            effects |= SETS_UNKNOWN
            continue
        if names == ("seed",):
            effects |= SEEDS
            continue
        settings.update(names)
        effects |= SETS
    return effects


def _find_resets(text: str, settings: set[str]) -> int:
    effects = 0
    for found in _RESET.finditer(text):
        effects |= RESETS
        name = found[1] or found[3]
        if name is None:
            effects |= SETS_UNKNOWN
        elif name.lower() != "all":
            settings.update(names_set(" ".join(fold(name).split())))
    return effects


def _find_set_config(text: str, settings: set[str]) -> int:
    effects = 0
    for call in _SET_CONFIG.finditer(text):
        found = _ARGUMENTS.match(text, call.end())
        if found and found[3] and _TRUE.fullmatch(found[3].strip()):
            continue
        name = _LITERAL.fullmatch(found[1].strip()) if found else None
        effects |= SETS if name else SETS_UNKNOWN
        if name:
            settings.add(fold(name[1]))
    return effects


def _find_executes(text: str, settings: set[str]) -> int:
    for start in _EXECUTE.finditer(text):
        if not _EXECUTES_LITERAL.match(text, start.end()):
            return UNKNOWN
    return 0
