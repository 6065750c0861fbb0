"""What an application says in a comment about where a statement is to go, and about keeping its answer.

    /* dbproxy: primary */   /* dbproxy: replica */   /* dbproxy: replica(name) */   -- dbproxy: …
    /* dbproxy: cache */   /* dbproxy: cache(ttl=30s, tags=a b) */   /* dbproxy: no-cache */

The comment holds nothing else; white space and capitals don't matter, but in a name. The first one of each kind in a
text counts. One about keeping that cannot be understood is one all the same (cache.terms says what is wrong with it).
"""

import re

MENTION = re.compile(rb"(?:--|/\*)\s*dbproxy\s*:", re.IGNORECASE)  # a hint, or the text of one in a string
_HINT = re.compile(
    rb"(?:--|/\*)\s*dbproxy\s*:\s*(?:(primary|replica)|replica\s*\(\s*([^\s()](?:[^()]*[^\s()])?)\s*\))\s*(?:\*/)?",
    re.IGNORECASE,
)

_KEEPING = re.compile(
    rb"(?:--|/\*)\s*dbproxy\s*:\s*((?:no[-_])?cache\b.*?)\s*(?:\*/)?", re.IGNORECASE | re.DOTALL
)
LONGEST = 200  # bytes of one about keeping


def read_hint(comment: bytes) -> str:
    """What the comment says: primary, replica or replica(name); "" if it is no hint."""
    found = _HINT.fullmatch(comment)
    if found is None:
        return ""
    return found[1].decode().lower() if found[1] else f"replica({found[2].decode()})"


def read_cache_hint(comment: bytes) -> str:
    """What the comment says about keeping, with single blanks; "" if it is none."""
    found = _KEEPING.fullmatch(comment)
    return " ".join(found[1][:LONGEST].decode("utf-8", "replace").split()) if found is not None else ""
