"""Password hashes of the method `md5` (PostgreSQL: "Password Authentication", "Message Flow: Start-up").

PostgreSQL stores "md5" + md5(password + user); a login shows "md5" + md5(that digest + a salt of this
connection).
"""

import hashlib
import re

_SECRET = re.compile(r"md5[0-9a-f]{32}")


def is_md5_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None


def make_md5_secret(user: str, password: str) -> str:
    """What PostgreSQL stores for this user and password."""
    return _md5(_encode(password) + _encode(user))


def answer_challenge(md5_secret: str, salt: bytes) -> str:
    """What shows, to the server that sent `salt`, that one has the secret."""
    return _md5(md5_secret.removeprefix("md5").encode() + salt)


def _md5(data: bytes) -> str:
    return "md5" + hashlib.md5(data, usedforsecurity=False).hexdigest()  # the protocol's choice, not ours


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
