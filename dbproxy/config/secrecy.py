"""What of the operator's own words may be shown: no text that may hold a password is, not even in part.

A URL that cannot be read may have its password anywhere, so nothing of it is shown: the key and its line are enough.
"""

HIDDEN = "***"
_SIGNS = ("://", "@", "passw", "pwd", "secret", "token")


def may_hold_secret(text: str) -> bool:
    """Whether a text that is in the wrong place, or cannot be read, looks like a URL or names a secret."""
    lowered = text.lower()
    return any(sign in lowered for sign in _SIGNS)


def show_key(dotted: str) -> str:
    """A key as it was written; keys that ask for a secret by name are no secret."""
    return HIDDEN if "://" in dotted or "@" in dotted else dotted
