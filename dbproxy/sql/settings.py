"""The names of settings, as statements spell them."""

CHARACTERISTICS = (
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
)

# of one transaction: gone with it, however they are set
TRANSACTIONS = frozenset({"transaction_isolation", "transaction_read_only", "transaction_deferrable"})

OURS = "dbproxy."  # what the proxy's own settings begin with
TOKEN = OURS + "causal_token"

_SPELLINGS = {
    "time zone": ("timezone",),
    "names": ("client_encoding",),
    "schema": ("search_path",),
    "xml option": ("xmloption",),
    "session authorization": ("session_authorization", "role"),  # the role falls back to none
    "session_authorization": ("session_authorization", "role"),
    "session characteristics": CHARACTERISTICS,
}


def names_set(spelling: str) -> tuple[str, ...]:
    """The settings that `SET spelling` gives a value."""
    return _SPELLINGS.get(spelling, (spelling,))


def fold(name: str) -> str:
    """A name in small letters, as PostgreSQL makes them: ASCII's only."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
