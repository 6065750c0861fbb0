"""What a server is sent to have other prepared statements than it has, unseen by the client (pool.prepared)."""

from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import Describe, Evict, Parse, Prepare
from dbproxy.pool.prepared import Statement
from dbproxy.wire.extended import write_close, write_describe, write_parse


def keep(dialogue: Dialogue, statement: Statement) -> bytes:
    """Note that the server has the statement; returns Close messages for what it must give up for it."""
    statements = dialogue.statements
    statements.prepared[statement.name] = statement
    closes = b""
    most: int = statements.tenant.settings.max_prepared_statements
    statements.crowded = len(statements.prepared) > most // 2
    while len(statements.prepared) > most > 0:
        name = next(iter(statements.prepared))
        dialogue.pipeline.skip(ord("C"), Evict(name, statements.prepared.pop(name)))
        closes += write_close(name)
    return closes


def spell_prepare(dialogue: Dialogue, statement: Statement, describe: bool = False) -> bytes:
    """Messages that make the server have the statement; empty if it has.

    `describe`: ask for its columns too, even if nobody was told them yet.
    """
    statements, name = dialogue.statements, statement.name
    if name in statements.prepared:
        if statements.crowded:
            statements.prepared[name] = statements.prepared.pop(name)  # now the one used last
        if (
            not statements.unconfirmed
            or statements.unconfirmed.get(name, statements.batch) == statements.batch
        ):
            return b""
    closes = keep(dialogue, statement)
    if statements.unconfirmed.get(name, statements.batch) != statements.batch:
        # An error before the last Sync may have made the server discard our Parse: whether or not, it has it then.
        dialogue.pipeline.skip(ord("C"))
        closes += write_close(name)
    statements.unconfirmed[name] = statements.batch
    dialogue.pipeline.skip(ord("P"), Prepare(statement, statements.batch))
    statements.tenant.stats.server_parse_count += 1
    return closes + write_parse(name, statement.body) + compare(dialogue, statement, describe)


def compare(dialogue: Dialogue, statement: Statement, describe: bool = False) -> bytes:
    """A Describe behind a Parse, if the columns have to be those that other servers told (pool.prepared)."""
    if not (describe or statement.columns or statement.twin is not None):
        return b""
    dialogue.pipeline.skip(ord("D"), Describe(b"", statement.name, statement))
    return write_describe(statement.name)


def close_shared(dialogue: Dialogue) -> bytes:
    """Messages that take away all statements with names of ours."""
    prepared = dialogue.statements.prepared
    names = list(prepared)
    for name in names:
        dialogue.pipeline.skip(ord("C"), Evict(name, prepared.pop(name)))
    return b"".join(map(write_close, names))


def forget_all(dialogue: Dialogue, client: Borrower | None) -> None:
    """All named statements are gone, but for those whose Parse was sent since and is still due."""
    dues = dialogue.pipeline.notes_of(ord("P"))
    later = [due for due in dues if isinstance(due, Parse | Prepare)]
    prepared = dialogue.statements.prepared
    prepared.clear()
    prepared.update({due.server_name: due.statement for due in later if due.statement is not None})
    if client is not None:
        client.forget_statements({due.name for due in later})
