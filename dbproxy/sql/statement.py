"""What is known of a SQL text before it is sent: what it may do to the session that outlives its transaction.

A text may hold several statements; what is said here is said of all of them together. It is always the safe side:
a bit says that something *may* happen. Whether it did, the server is asked at the transaction's end (pool.audit), so
a text that cannot be read costs a question, never a mistake. So it is with `reads`: a statement that is not known to be
one goes to the primary.
"""

from dataclasses import dataclass, field

# --- effects ---
SETS = 1 << 0  # gives the settings in `settings` a value for the session
RESETS = 1 << 1  # gives settings their default back: RESET, SET … TO DEFAULT, DISCARD ALL
SETS_PARAMETER = 1 << 2  # set_config with a parameter for its name: one of the Bind's values
SETS_UNKNOWN = 1 << 3  # set_config with a name that is computed
LOCKS = 1 << 4  # takes session advisory locks
UNLOCKS = 1 << 5  # gives session advisory locks up
CREATES_TEMP = 1 << 6  # creates an object in the temporary schema
DROPS = 1 << 7  # drops objects, or moves them: maybe temporary ones
HOLDS = 1 << 8  # declares a cursor WITH HOLD
CLOSES = 1 << 9  # closes cursors
PREPARES = 1 << 10  # PREPARE; the names are in `prepares`
DEALLOCATES = 1 << 11  # DEALLOCATE; the names are in `deallocates`, "" is ALL
EXECUTES = 1 << 12  # EXECUTE; the names are in `executes`
LISTENS = 1 << 13  # LISTEN or UNLISTEN; where, is in `listens`
NOTIFIES = 1 << 14  # NOTIFY or pg_notify
LOADS = 1 << 15  # LOAD
SEEDS = 1 << 16  # setseed, SET seed
ADVANCES = 1 << 17  # nextval, setval: what currval and lastval will say
RECALLS = 1 << 18  # currval, lastval
DISCARDS = 1 << 19  # DISCARD ALL
SHOWS_NAMES = 1 << 20  # reads pg_prepared_statements, which shows our own doings
LOCAL = 1 << 22  # gives a setting a value for the transaction: SET LOCAL, set_config(…, true)
CHANGES = 1 << 23  # changes what other statements mean: DDL
FORGOT = 1 << 24  # DISCARD SEQUENCES was carried out, as the server said
DISCARDED = 1 << 25  # so was DISCARD ALL
KEEPS = (
    1 << 26
)  # makes the session keep what the server cannot be asked for: a connection of dblink, a temporary slot
WRITES = 1 << 27  # may have committed something: where the WAL ends is to be asked
SHOWS_TOKEN = 1 << 28  # shows our own setting dbproxy.causal_token
SHOWS_CHANNELS = 1 << 29  # calls pg_listening_channels, which shows what the server listens to
SIGNALS = 1 << 30  # pg_cancel_backend, pg_terminate_backend
UNKNOWN = 1 << 21  # anything: DO, CALL, what the grammar rejects, what is too long to be looked at
# May change settings, of the session or of the transaction.
MOVES_SETTINGS = SETS | RESETS | SETS_PARAMETER | SETS_UNKNOWN | DISCARDS | LOCAL

ALL = ""  # in `resets`

# --- constants (sql.constants) ---
READS_SETTINGS = 1  # settings decide what a constant is
MOMENTARY = (
    2  # a constant is of its own Parse: the clock, or an object's number, which another may have by now
)
OWN_TYPES = 4  # names types that PostgreSQL does not come with, which may be dropped and made again


@dataclass(frozen=True, slots=True)
class Listen:
    """A LISTEN or UNLISTEN; `channel` is "" for `UNLISTEN *`."""

    channel: str
    begins: bool  # LISTEN


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL text, classified. Names are as PostgreSQL folds them; settings in lower case."""

    effects: int = 0
    settings: frozenset[str] = frozenset()
    resets: frozenset[str] = (
        frozenset()
    )  # what goes back to its default, and gets no value behind that, or ALL
    stays: frozenset[str] = frozenset()  # what gets a value behind ALL
    prepares: tuple[str, ...] = ()
    deallocates: tuple[str, ...] = ()
    executes: tuple[str, ...] = ()
    listens: tuple[Listen, ...] = ()
    functions: frozenset[str] = frozenset()  # called, unqualified, and not known to be harmless
    defines: frozenset[str] = (
        frozenset()
    )  # functions created or replaced; "": the catalog is to be read again
    defined_effects: int = 0  # of the bodies of those in `defines`, as far as they can be told
    defined_settings: frozenset[str] = frozenset()  # that those bodies set or reset
    defined_calls: frozenset[str] = frozenset()  # what those bodies call
    varies: bool = False  # a literal decides: another text of the same shape may do something else
    single: bool = True  # the text is one statement
    modifies_within: bool = (
        False  # it holds an INSERT, UPDATE, DELETE or MERGE that its command tag does not tell
    )
    # --- of what RECALLS or SIGNALS ---
    bare: bool = False  # a SELECT of expressions that call nothing unknown: the proxy can answer (sql.calls)
    inserts_first: bool = False  # it recalls only behind an INSERT of its own
    constants: int = 0  # what PostgreSQL reads at Parse (sql.constants), as far as the shape tells
    local: frozenset[str] = frozenset()  # settings that get a value for the transaction; "": of any name
    databases: tuple[
        str, ...
    ] = ()  # that nobody may be connected to when it runs: DROP DATABASE and the like
    # --- for routing ---
    reads: bool = False  # all statements are reads, as far as syntax and PostgreSQL's own functions tell
    relations: frozenset[str] = frozenset()  # that a read reads, unqualified; not PostgreSQL's own
    # PostgreSQL's functions, and all operators, that a read calls: the database may have its own of that name
    calls: frozenset[str] = frozenset()
    begins: bool = False  # it is a BEGIN whose access mode is the session's
    begins_read_only: bool = False  # it is a BEGIN READ ONLY; both: that a hot standby can carry out
    # What it alone, a BEGIN or SET TRANSACTION, says of the transaction: `transaction_isolation`, and of
    # `transaction_read_only` "1" or "0".
    modes: tuple[tuple[str, str], ...] = ()
    # in a transaction that only reads (sql.transactions)
    ends: bool = False  # it may end the transaction, in whatever place
    chains: int = 0  # so many times it ends one and begins another like it
    repeats: bool = False  # another server can carry it out again, and nobody notices
    needs_primary: bool = False  # a hot standby does not do it as the primary would
    hint: str = ""  # from a comment: "primary", "replica" or "replica(name)"
    cache_hint: str = ""  # from a comment: about keeping its answer, as it was written
    wishes: tuple[
        tuple[str, str], ...
    ] = ()  # settings of ours (`dbproxy.…`) with the literals that they are given
    harmless: bool = field(init=False, compare=False)  # it is one statement that does nothing to the session

    def __post_init__(self) -> None:
        object.__setattr__(self, "harmless", self._is_harmless())

    def _is_harmless(self) -> bool:
        done = (
            self.effects or self.settings or self.functions or self.defines or self.databases or self.chains
        )
        return not done and self.single and not self.modifies_within


HARMLESS = Statement()
READS = Statement(reads=True)  # and there is nothing to look up
CONSTANT = Statement(reads=True, repeats=True)
