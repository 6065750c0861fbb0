"""What an application says in a comment about where a statement is to go.

    /* dbproxy: primary */   /* dbproxy: replica */   /* dbproxy: replica(name) */   -- dbproxy: …

The comment holds nothing else; white space and capitals don't matter, but in the name. The first one in a text counts.
"""

import re

MENTION = re.compile(rb"(?:--|/\*)\s*dbproxy\s*:", re.IGNORECASE)  # a hint, or the text of one in a string
_HINT = re.compile(
    rb"(?:--|/\*)\s*dbproxy\s*:\s*(?:(primary|replica)|replica\s*\(\s*([^\s()](?:[^()]*[^\s()])?)\s*\))\s*(?:\*/)?",
    re.IGNORECASE,
)


def read_hint(comment: bytes) -> str:
    """What the comment says: primary, replica or replica(name); "" if it is no hint."""
    found = _HINT.fullmatch(comment)
    if found is None:
        return ""
    return found[1].decode().lower() if found[1] else f"replica({found[2].decode()})"
