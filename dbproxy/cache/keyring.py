"""Under which keys (cache.key) the answers to one database and user are, by what their sessions have set."""

from collections.abc import Mapping

from dbproxy.cache.asked import Asked, Settings
from dbproxy.cache.key import PREFIX, digest, key_of_bind, key_of_query, read_text, read_values
from dbproxy.sql.comments import cut_comments, may_comment
from dbproxy.wire.extended import length_at, parse_parts

SERIALIZABLE = "its session is serializable"
OTHER_FORM = "asked for in another form"
TURNED_OFF = "the session has turned it off"
FOR_HOST = "it is for a certain host"
ANY_HOST = ("", "replica")  # what a hint, or the session, may say of it
KNOWN = 1000  # sets of settings of which what is hottest can be fetched without being asked for
# In place of a prefix, which is longer: what a session has set so that it is not answered.
REFUSALS = {b"": OTHER_FORM, b"off": TURNED_OFF, b"host": FOR_HOST, b"serializable": SERIALIZABLE}
_ISOLATION = "default_transaction_isolation"


class Keyring:
    """`place` names the database; `known`: settings by the prefix of their keys."""

    def __init__(self, place: str, user: str) -> None:
        self.place = place
        self.user = user
        self.plain = digest(place, user, {})
        self.known: dict[bytes, Mapping[str, str]] = {self.plain: {}}

    def find_key(self, request: Asked, settings: Settings) -> bytes:
        """Shorter than a prefix if it is not answered (REFUSALS)."""
        prefix, kinds = self.find_prefix(settings), request.kinds
        if len(prefix) < PREFIX:
            return prefix
        if kinds == b"Q":
            query = read_text(request.messages)
            return b"" if query is None else key_of_query(prefix, cut_comments(query))
        values = read_values(kinds, request.messages)
        if values is None:
            return b""
        body = request.chunk
        if kinds[0] == ord("P"):
            body = (parse_parts(request.messages, 0, length_at(request.messages, 0)) or (b"", b""))[1]
        if not may_comment(body, len(body)):
            return key_of_bind(prefix, body, values)
        text, zero, types = body.partition(b"\0")
        return key_of_bind(prefix, cut_comments(text) + zero + types, values)

    def find_prefix(self, settings: Settings) -> bytes:
        if not settings.values:
            return self.plain
        key = settings.cache_key
        if not key:
            key = settings.cache_key = refuse(settings.values) or digest(
                self.place, self.user, settings.values
            )
        if key not in self.known and len(self.known) < KNOWN:
            self.known[key] = settings.values
        return key


def refuse(settings: Mapping[str, str]) -> bytes:
    """Why a session with these is not answered (REFUSALS); b"" if it may be."""
    if settings.get("dbproxy.cache", "").lower() not in ("", "on"):  # also what cannot be understood
        return b"off"
    if settings.get("dbproxy.route", "").strip().lower() not in ANY_HOST:
        return b"host"
    return b"serializable" if settings.get(_ISOLATION, "").lower() == "serializable" else b""
