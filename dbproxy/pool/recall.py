"""What a pool's sessions may recall of sequences (`currval`, `lastval`), and the SQL that asks a server for it.

PostgreSQL keeps in the session what each sequence gave out there, and nothing shows it but these two functions, which
fail where there is nothing. So a DO block calls them behind a transaction that may have used a sequence, and leaves
what they said in a setting of ours that ends with the question. Who recalls later, on another server, is answered from
that (session.recollection).

Asking has its price: nobody is asked for what nobody recalls. A new pool asks for all sequences, to be ready for the
first who recalls, until it has been in vain so often; from then on for what somebody has recalled.
"""

TRIALS = 1000  # questions
NAMED_LIMIT = 32  # sequences
RECALLED = "dbproxy.recalled"
LANGUAGE = (
    "plpgsql"  # of the block: an error that names it says that the user may not use it, or that there is none
)
_QUOTE = "$dbproxy$"
_UNKNOWN = "unknown"  # there is something, but it is not told
ALL = 0  # in an oid's place: all sequences were asked for, those ahead of it
UNUSED = 1  # in a number's place, behind a negative oid: it was asked for, and has given out nothing there

# The block rolls itself back, so that nothing is left of its lock_timeout: what somebody alters is not waited for.
# That has to be caught first: object_not_in_prerequisite_state, 55000, is to PL/pgSQL all of class 55.
_FRAME = f"""DO LANGUAGE {LANGUAGE} {_QUOTE} DECLARE told pg_catalog.text; one pg_catalog.oid; BEGIN \
PERFORM pg_catalog.set_config('lock_timeout', '5', true); told := pg_catalog.lastval(); {{}}RAISE SQLSTATE 'DBPRX'; \
EXCEPTION WHEN SQLSTATE 'DBPRX' THEN PERFORM pg_catalog.set_config('{RECALLED}', told, true); \
WHEN lock_not_available THEN PERFORM pg_catalog.set_config('{RECALLED}', '{_UNKNOWN}', true); \
WHEN object_not_in_prerequisite_state THEN NULL; \
WHEN OTHERS THEN PERFORM pg_catalog.set_config('{RECALLED}', '{_UNKNOWN}', true); END {_QUOTE}; """
_TELL = "told := pg_catalog.concat_ws(' ', told, pg_catalog.concat('-', one), {});"
_ADD = (
    "BEGIN {} told := pg_catalog.concat_ws(' ', told, one, pg_catalog.currval(one));"
    " EXCEPTION WHEN lock_not_available THEN {} WHEN OTHERS THEN {} END; "
)
_SOME = "SELECT seqrelid FROM pg_catalog.pg_sequence LIMIT 100"
_EACH = "".join(("FOR one IN (", _SOME, ") LOOP ", _ADD.format("", _TELL.format(0), "NULL;"), "END LOOP; "))
_ALL = f"{_EACH}told := pg_catalog.concat_ws(' ', told, {ALL}, {ALL}); "
_UNLESS_NULL = (
    "IF one IS NOT NULL THEN {} END IF;"  # it is where the name means nothing, or its table is locked
)
_NAMED = _ADD.format(
    "one := NULL; one := ({})::pg_catalog.regclass;",
    *(_UNLESS_NULL.format(_TELL.format(number)) for number in (0, UNUSED)),
)


class Recall:
    """Of one pool. `asks`: servers are asked; `able`: they can be; `sequences`: recalled by `currval`, in SQL.

    What was told in another `era` is void: servers were not asked for a while.
    """

    def __init__(self, *, able: bool) -> None:
        self.able = able
        self.needed = False
        self.trials = TRIALS
        self.asks = able and TRIALS > 0
        self.sequences: dict[str, None] = {}
        self.era = 0

    def want(self, sequence: str = "") -> bool:
        """Somebody recalls this sequence, or the last one. Whether that is asked for from now on."""
        self.needed = True
        if self.able and not self.asks:
            self.era += 1
        self.asks = self.able
        if sequence and len(self.sequences) < NAMED_LIMIT and _QUOTE not in sequence:
            self.sequences[sequence] = None
        return self.able and (not sequence or sequence in self.sequences)

    def spell(self) -> str:
        """SQL ahead of an audit that shows `RECALLED`; counted."""
        self.trials = max(0, self.trials - 1)
        self.asks = self.able and (self.needed or self.trials > 0)
        parts = [_ALL] if self.trials else []
        parts += [_NAMED.format(sequence) for sequence in self.sequences]
        return _FRAME.format("".join(parts))

    def give_up(self) -> None:
        """The servers cannot be asked."""
        self.able = self.asks = False


def read_recalled(told: str | None) -> tuple[int, ...] | None:
    """The setting's value: what `lastval` said, then each sequence's oid and what `currval` said; None: not known.

    Where only that of one sequence is not known, its oid is negative; so is that of one that is `UNUSED`. Behind `ALL`
    are those that are asked for by name.
    """
    return None if told == _UNKNOWN else tuple(map(int, (told or "").split()))
