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

# What changes no answer, for the cache. All others may: also those of extensions, and of applications.
_PRIVATE = """
    application_name client_connection_check_interval client_min_messages idle_in_transaction_session_timeout
    idle_session_timeout lock_timeout log_min_duration_statement log_statement maintenance_work_mem sort_mem
    statement_timeout synchronous_commit tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval
    tcp_user_timeout transaction_timeout vacuum_mem work_mem
"""
_HARMLESS = frozenset(_PRIVATE.split())

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


def changes_answers(setting: str) -> bool:
    """Whether it may change what a statement answers that does not ask for this setting itself."""
    return setting not in _HARMLESS and not setting.startswith(OURS)


def fold(name: str) -> str:
    """A name in small letters, as PostgreSQL makes them: ASCII's only."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
