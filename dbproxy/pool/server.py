"""A server connection: what PostgreSQL sends us, and where it goes.

Replies are forwarded in the chunks in which they came. A chunk is cut only where a reply is skipped or faked
(wire.pipeline). ReadyForQuery with nothing more due ends the loan: the pool gets the server back, or, if something
about it is in doubt, it is closed (promises 2 and 3 of docs/architecture.md).
"""

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import ProtocolViolation, ProxyError, ServerLost, SessionLost
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.audit import SETTINGS, Audit, pins_after, settings_after
from dbproxy.pool.parameters import BE_YOURSELF, NOTHING, Parameters, identifier
from dbproxy.pool.prepared import CHANGED, Statement
from dbproxy.pool.states import CLOSED, NAMES, TESTED, Member
from dbproxy.sql.statement import DISCARDED, FORGOT, RECALLS, RESETS, SETS
from dbproxy.wire import build
from dbproxy.wire.extended import (
    columns_key,
    cut,
    length_at,
    write_close,
    write_describe,
    write_parse,
    write_run,
)
from dbproxy.wire.framer import server_framer
from dbproxy.wire.pipeline import FAKE, HALF, KIND, SKIP, TAIL, Pipeline
from dbproxy.wire.startup import parse_error_response, parse_parameter_status

if TYPE_CHECKING:
    from dbproxy.pool.pool import Pool

log = structlog.get_logger()
ids = count(1)

# Errors after which a request is sent again on a fresh statement: SQLSTATE, and the server function that
# raised it, since 0A000 and 26000 have other causes. The last two say that somebody changed statements behind our back.
STALE = {
    ("0A000", "RevalidateCachedQuery"),
    ("26000", "FetchPreparedStatement"),
    ("42P05", "StorePreparedStatement"),
}
# What PostgreSQL says to a Bind whose statement has other columns than its client was told.
CHANGED_ERROR = build.error_response_fields(
    {
        **dict.fromkeys("SV", "ERROR"),
        "C": "0A000",
        "M": "cached plan must not change result type",
        "R": "RevalidateCachedQuery",
    }
)
# And to all but ROLLBACK in a failed transaction.
ABORTED_ERROR = build.error_response_fields(
    {
        **dict.fromkeys("SV", "ERROR"),
        "C": "25P02",
        "M": "current transaction is aborted, commands ignored until end of transaction block",
        "F": "postgres.c",
        "L": "1745",
        "R": "exec_bind_message",
    }
)
TRIES = 3  # an audit may be hit by a cancel or a timeout that was meant for what ran before it
OPTIONAL = "optional"  # note of a Query of ours that may fail: what follows it says so to the client
UNKNOWN_STATEMENT = b"\0"  # an unnamed statement on the server that is no client's


class Refusal:
    """Stands in a message's note: the server's error is replaced by `error`, an ErrorResponse of ours.

    `reason`: of the pin that is refused.
    """

    __slots__ = ("error", "reason")

    def __init__(self, reason: str, error: bytes) -> None:
        self.reason = reason
        self.error = error


class Server(Member):
    """One connection to PostgreSQL."""

    def __init__(self, pool: "Pool") -> None:
        Member.__init__(self, pool.generation)
        self.id = next(ids)
        self.pool: Any = pool
        self.stats = pool.stats
        self.client: Any = None  # a Borrower, while lent
        self.borrower: Any = None  # who was lent the server last, and when the one before was last answered
        self.left_at = 0.0
        self.status = ord("I")
        self.framer = server_framer()
        self.pipeline = Pipeline()
        self.mailbox: asyncio.Queue[tuple[int, bytes] | None] | None = asyncio.Queue()
        self.prepared: dict[bytes, Statement] = {}
        self.batch = 0  # Syncs sent by clients
        self.unconfirmed: dict[
            bytes, int
        ] = {}  # what we prepared and is not known to be there: in which batch
        self.unnamed: bytes | None = None
        # A command, since the last ReadyForQuery: nothing else ends a transaction block. After a Sync that ended an
        # implicit one behind a Query, PostgreSQL 18 fails the next command, whoever sends it.
        self.ran = False
        self.parameters: dict[str, str] = {}
        self.settings = NOTHING
        self.skipping = False
        self.retrying = False
        self.forwarded = False  # part of the answer at hand
        self.flushing = False  # the client sent Flush behind messages whose replies are faked
        self.effects = 0  # what was sent since the last audit may have done to the session (sql.statement)
        self.tries = 0  # to audit
        self.asked = 0  # those that an audit on its way is about
        self.listens = False  # to its client's channels, for this loan
        self.touched: set[str] = set()  # settings that it may have changed
        # For this loan: names that the server knows as its client does, and the bodies that they may have there.
        self.named: dict[bytes, list[bytes]] = {}
        self.contested = False  # all of the client's names are such
        self.swept = False  # DEALLOCATE ALL is under way: only what comes behind it is still there
        self.pins: frozenset[str] = frozenset()  # why its client keeps it beyond the transaction
        self.restoring: frozenset[str] = frozenset()  # settings that a RESET may have touched
        self.keeps_ready = (
            False  # the client is told that its transaction has ended when more than that is done
        )
        self.local = False  # settings that change now may change for the transaction only
        self.murky = False  # custom settings may have been made that cannot be listed
        self.spoiled = False  # can never be as good as new: closed when its client leaves it
        self.cancels_later = (
            False  # its client wants its request cancelled, which a Query of ours is ahead of
        )
        self.advanced = False  # its client has called nextval, in this loan
        self.changed = False  # lent to another than the last time
        self.notifier: Any = None  # whose NOTIFY ran here last
        self.ahead: bytes | None = None  # what goes before the reply at hand
        self.renamed = False  # and instead of it
        self.withheld: bytes | None = (
            None  # a ParameterDescription: its Describe may fail yet, and be sent again
        )
        self.told = False
        self.pid = 0
        self.key = b""
        self.address = ""
        self.connected_at = monotonic()
        self.lent_at = 0.0
        self.busy_since = 0.0
        self.xact_start = 0.0

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self.mailbox is not None:
                self.post(data)
            else:
                self.relay(data)
        except ProtocolViolation as error:
            self.close(error.message)
        except SessionLost as error:
            self.close(error.message, error)
        except Exception:  # our own bug: the state of this server is in doubt, nobody else's is
            log.exception("internal error", server=self.id)
            self.close("internal error")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"connection lost: {error}" if error else "server closed the connection")

    def pause_writing(self) -> None:
        self.full = True
        if self.client is not None:
            self.client.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.full = False
        if self.client is not None:
            self.client.free(PARTNER_FULL)

    # --- login ---

    def post(self, data: bytes) -> None:
        """While logging in, whole messages go to the mailbox (pool.login reads it)."""
        mailbox = self.mailbox
        for mark in self.framer.feed(data):
            at = mark >> 8
            length = int.from_bytes(self.framer.chunk[at + 1 : at + 5], "big")
            mailbox.put_nowait((mark & 255, self.framer.chunk[at + 5 : at + 1 + length]))  # type: ignore[union-attr]

    # --- lending ---

    def lend(self, client: Any, now: float) -> None:
        self.changed = client is not self.borrower
        if self.changed:
            if self.borrower is not self.notifier:
                self.notifier = None
            if self.borrower is not None:
                self.left_at = self.busy_since
            self.borrower = client
        self.client = client
        self.lent_at = self.busy_since = self.xact_start = now
        self.told = self.forwarded = self.flushing = self.local = self.keeps_ready = False
        self.contested = self.swept = self.advanced = self.cancels_later = False

    def adopt(self, settings: Parameters) -> bytes:
        """What to send ahead of a client's first request, so that the server has the client's settings."""
        difference = settings.difference(self.settings)
        if self.murky and self.changed:
            difference = "; ".join([BE_YOURSELF, "RESET ALL", *settings.steps(NOTHING)])
            self.murky = False
        self.settings = settings
        if not difference:
            return b""
        self.stats.replay_count += 1
        self.pipeline.skip(ord("Q"), settings)
        self.unnamed = None  # every Query ends the unnamed statement
        return build.query(difference)

    def run_ours(self, *statements: str) -> None:
        """Between loans: run SQL whose replies nobody sees; the pool gets the server back when it is done."""
        self.client = self.unnamed = None
        self.send_ours(*statements)

    def send_ours(self, *statements: str) -> None:
        """Run SQL whose replies nobody sees."""
        self.unnamed = None
        for sql in statements:
            self.pipeline.skip(ord("Q"))
            self.write(build.query(sql))

    def spell_ours(self, statements: list[str], simple: bool) -> bytes:
        """Messages that run these ahead of a client's statement: of a Query (`simple`), or inside its request."""
        if simple:  # one by one: a text of several would end what an Execute without a Sync has begun
            for _ in statements:
                self.pipeline.skip(ord("Q"), OPTIONAL)
            self.unnamed = None
            return b"".join(map(build.query, statements))
        return b"".join([self.spell_run(sql.encode(errors="surrogateescape")) for sql in statements])

    def restore(self, settings: Parameters, kind: int, note: Any) -> bytes:
        """A Query behind the client's RESET (its Query, or the Sync behind it): what it asked for at login is back."""
        self.pipeline.expect_halves(kind, note)
        self.restoring = frozenset(settings.values)
        return build.query(settings.difference(NOTHING))

    def spell_run(self, sql: bytes, name: bytes | None = None) -> bytes:
        """Messages that run it inside a request; `name`: of the statement that it prepares."""
        for kind in b"PB":
            self.pipeline.skip(kind)
        self.pipeline.skip(ord("E"), name)
        for kind in b"CC":
            self.pipeline.skip(kind)
        return write_run(sql)

    def spell_sync(self) -> bytes:
        self.pipeline.skip(ord("S"))
        return build.sync()

    # --- prepared statements ---

    def keep(self, statement: Statement) -> bytes:
        """Note that the server has the statement; returns Close messages for what it must give up for it."""
        self.prepared[statement.name] = statement
        closes = b""
        while len(self.prepared) > self.pool.settings.max_prepared_statements > 0:
            name = next(iter(self.prepared))
            oldest = self.prepared.pop(name)
            self.pipeline.skip(ord("C"), (b"", None, name, oldest))
            closes += write_close(name)
        return closes

    def prepare(self, statement: Statement, describe: bool = False) -> bytes:
        """Messages that make the server have the statement, unseen by the client; empty if it has.

        `describe`: ask for its columns too, even if nobody was told them yet.
        """
        if statement.name in self.prepared:
            self.prepared[statement.name] = self.prepared.pop(statement.name)  # now the one used last
            if self.unconfirmed.get(statement.name, self.batch) == self.batch:
                return b""
        closes = self.keep(statement)
        if self.unconfirmed.get(statement.name, self.batch) != self.batch:
            # An error before the last Sync may have made the server discard our Parse: whether or not, it has it then.
            self.pipeline.skip(ord("C"))
            closes += write_close(statement.name)
        self.unconfirmed[statement.name] = self.batch
        self.pipeline.skip(ord("P"), (b"", None, statement.name, statement, self.batch))
        self.stats.server_parse_count += 1
        return closes + write_parse(statement.name, statement.body) + self.compare(statement, describe)

    def compare(self, statement: Statement, describe: bool = False) -> bytes:
        """A Describe behind a Parse, if the columns have to be those that other servers told (pool.prepared)."""
        if not (describe or statement.columns):
            return b""
        self.pipeline.skip(ord("D"), (b"", None, statement.name, statement))
        return write_describe(statement.name)

    def close_shared(self) -> bytes:
        """Messages that take away all statements with names of ours."""
        names = list(self.prepared)
        for name in names:
            self.pipeline.skip(ord("C"), (b"", None, name, self.prepared.pop(name)))
        return b"".join(map(write_close, names))

    # --- replies ---

    def relay(self, data: bytes) -> None:
        framer = self.framer
        pipeline = self.pipeline
        count = framer.scan(data)
        chunk = framer.chunk
        position = 0
        done = kept = False
        pieces = None
        now = 0.0
        for number in range(count):
            mark = framer.mark_at(number)
            kind = mark & 255
            at = mark >> 8
            ahead = None
            if kind == ord("D"):
                if pipeline.peek() & SKIP:
                    self.read_row(chunk, at)
                continue
            if kind == ord("A") and self.client is not None and self.client.by_hub:
                if not self.skipping and at > position:
                    pieces = pieces if pieces is not None else []
                    pieces.append(cut(chunk, position, at))
                position = at + length_at(chunk, at)
                continue
            if kind == ord("E"):
                skip = self.fail(chunk, at)
                ahead = self.ahead
                self.ahead = None
                if pipeline.unsure:
                    self.expires_at = 0.0  # not to be lent again: another's reply might be on its way
            elif kind == ord("t"):
                self.withheld = cut(chunk, at, at + length_at(chunk, at))
                skip = True
            else:
                if pipeline.fakes:
                    ahead = pipeline.take_fakes()
                tail = pipeline.halves > 0 and pipeline.peek() & TAIL
                skip = pipeline.receive(kind)
                if pipeline.halves and kind == ord("S"):
                    skip = self.hides(chunk, at)
                if tail and kind == ord("Z"):
                    ahead = self.tell_restored()
                if kind == ord("Z") and not skip and self.client is not None:
                    if self.client.news:
                        ahead = self.take_news(chunk[at + 5], ahead)
                    if self.keeps_ready and chunk[at + 5] == ord("I"):
                        skip = kept = pipeline.head == len(pipeline.due)
                        if not kept:
                            self.client.listen_early()
                if self.withheld is not None and (kind == ord("T") or kind == ord("n")):
                    if not skip:
                        ahead = self.withheld if ahead is None else ahead + self.withheld
                    self.learn(chunk, at, pipeline.ended)
            if ahead or skip != self.skipping:
                if pieces is None:
                    pieces = []
                if not self.skipping and at > position:
                    pieces.append(cut(chunk, position, at))
                if ahead:
                    pieces.append(ahead)
                position = at
                self.skipping = skip
                if self.renamed:
                    position = at + length_at(chunk, at)
                    self.renamed = False
            if kind == ord("Z"):
                if self.status == ord("T") and chunk[at + 5] == ord("I") and not self.ran:
                    self.expires_at = 0.0  # see `ran`
                self.ran = False
                self.status = chunk[at + 5]
                if not now:
                    now = monotonic()
                if not skip or kept:
                    self.answered(pipeline.ended, now)
                else:
                    # What comes next may begin with a row, which has no mark.
                    position = at + 6
                    self.skipping = skip = pipeline.head < len(pipeline.due) and pipeline.peek() & SKIP != 0
                    if pipeline.ended is not None:
                        self.conclude(pipeline.ended)
                done = pipeline.head == len(pipeline.due)
            elif kind == ord("S"):
                self.report(chunk, at)
            elif kind == ord("C"):
                self.watch(chunk, at)
            elif kind == ord("1"):
                self.accepted(pipeline.ended)
            elif kind == ord("G"):
                pipeline.copy_in()
            if not skip and kind != ord("A"):
                self.forwarded = kind != ord("Z")
        self.forward(chunk, position, framer.end, pieces)
        if kept:
            self.keeps_ready = self.forwarded = False
            self.client.owe_ready()
        if self.flushing:
            self.flush()
        if framer.left:
            return
        if done:
            self.finish(now)
        elif self.client is not None and pipeline.head == len(pipeline.due):
            self.client.caught_up()

    def forward(self, chunk: bytes, position: int, end: int, pieces: list[bytes] | None) -> None:
        """Hand on what is not skipped: `pieces`, then the chunk from `position` to `end`."""
        if not self.skipping and end > position:
            if pieces is None:
                if position or end < len(chunk):
                    chunk = chunk[position:end]
                if self.client is not None:
                    self.stats.bytes_sent += len(chunk)
                    self.client.reply(chunk)
                return
            pieces.append(cut(chunk, position, end))
        if pieces and self.client is not None:
            chunk = b"".join(pieces)
            self.stats.bytes_sent += len(chunk)
            self.client.reply(chunk)

    def hides(self, chunk: bytes, at: int) -> bool:
        """Whether a setting is told later, if at all: it goes to the server's default, and on from there."""
        if not self.pipeline.peek() & (HALF | TAIL):
            return self.pipeline.peek() & SKIP != 0
        name, _ = parse_parameter_status(self.payload(chunk, at))
        return name.lower() in self.restoring

    def tell_restored(self) -> bytes | None:
        """What has become of those settings, where it is not what the client knows."""
        changed = [
            (name, value)
            for name, value in self.parameters.items()
            if name.lower() in self.restoring and self.client.reported.get(name.lower()) != value
        ]
        self.client.reported.update({name.lower(): value for name, value in changed})
        return b"".join([build.parameter_status(name, value) for name, value in changed]) or None

    def take_news(self, status: int, ahead: bytes | None) -> bytes | None:
        """What goes ahead of a ReadyForQuery, with the client's notifications if no transaction is open."""
        if status != ord("I"):
            return ahead
        news = b"".join(self.client.news)
        self.client.news.clear()
        return news if ahead is None else ahead + news

    def flush(self) -> None:
        """Give the client the faked replies, unless there are others to come: they go ahead of those or follow them."""
        pipeline = self.pipeline
        replies = b"" if self.framer.left or len(pipeline) > pipeline.fakes else pipeline.take_fakes()
        self.flushing = pipeline.fakes > 0
        if replies and self.client is not None:
            self.forwarded = True
            self.client.reply(replies)

    def answered(self, request: Any, now: float) -> None:
        """A client's request is over: count and time it."""
        arrived = request[2]
        total = now - arrived
        microseconds = int(total * 1e6)
        self.stats.query(microseconds)
        if total >= self.pool.slow_after:
            wait = max(0.0, self.busy_since - arrived)
            self.stats.slow_query_count += 1
            self.client.slow(request, wait, total - wait)
        self.busy_since = now
        if self.status == ord("I"):
            self.stats.xact(int((now - self.xact_start) * 1e6))
            self.xact_start = now

    def finish(self, now: float) -> None:
        """Nothing is due."""
        if self.retrying:
            self.retrying = False
            self.skipping = False
            self.client.retry()
        elif self.client is None:
            self.pool.checkin(self, now) if self.status == ord("I") else self.close("left in a transaction")
        elif self.client.finished(self.status):
            self.release(now)

    def release(self, now: float) -> None:
        """The loan is over; the server is clean."""
        self.client = None
        self.free(PARTNER_FULL)
        self.pool.checkin(self, now)

    # --- what the session has become ---

    def settle(self) -> bool:
        """Nothing is due and no transaction is open: see to what was left behind. False if that is nothing."""
        if self.effects:
            self.audit()
        elif (self.named or self.listens) and not self.pins:
            self.send_ours(*self.leftovers())
        else:
            return False
        return True

    def audit(self) -> None:
        """Ask what was left behind."""
        self.stats.audit_count += 1
        names = self.touched
        if self.effects & SETTINGS:  # custom ones are not listed
            names = names | {name for name in self.settings.values if "." in name}
        self.ask(Audit(self.effects, names))
        self.effects = 0
        self.touched = set()

    def ask(self, audit: Audit) -> None:
        self.tries += 1
        self.asked = audit.effects
        self.framer.look_at_rows()
        self.pipeline.skip(ord("Q"), audit)
        self.unnamed = None
        self.write(build.query(audit.spell()))

    def ask_later(self, audit: Audit) -> None:
        """PostgreSQL would not answer. What the client has sent behind the question may have begun a transaction."""
        if self.client is None:
            self.ask(audit)
        else:
            self.effects |= audit.effects
            self.touched.update(audit.names)

    def cancel(self) -> bool:
        """Whether the client's request can be cancelled now; if not, it is once what is ours is out of the way."""
        entry = self.pipeline.peek()
        if self.pipeline.only_ours():
            return False
        self.cancels_later = entry & (KIND | SKIP | TAIL) == ord("Q") | SKIP
        return not self.cancels_later

    def read_row(self, chunk: bytes, at: int) -> None:
        note = self.pipeline.oldest_note()
        if isinstance(note, Audit):
            note.read(self.payload(chunk, at))

    def fail_ours(self, fields: dict[str, str]) -> bool:
        """A Query of our own failed. True: the client does not see it."""
        note = self.pipeline.oldest_note()
        if self.pipeline.peek() & TAIL:
            return True  # the transaction has failed before
        message = f"{fields.get('C')} {fields.get('M')}"
        if isinstance(note, Audit) and self.tries < TRIES:
            return True
        if note is OPTIONAL:
            return True
        if isinstance(note, Parameters):
            raise SessionLost(
                f"the session's settings cannot be given to another server connection: {fields.get('M')}",
                sqlstate=fields.get("C", ""),
            )
        raise ProtocolViolation(f"a statement of ours failed: {message}")

    def conclude(self, note: Any) -> None:
        """A Query of our own is over."""
        if self.cancels_later and not self.pipeline.peek() & SKIP:
            self.cancels_later = False
            self.pool.cancel(self)
        if not isinstance(note, Audit):
            return
        self.framer.pass_rows()
        self.asked = 0
        if note.answer is None:
            self.ask_later(note)
            return
        self.tries = 0
        self.listens = bool(note.answer.channels) if note.answer.channels is not None else self.listens
        self.settings = self.pool.parameter_sets.find(
            settings_after(self.settings, note.answer, self.pool.user)
        )
        self.pins = pins_after(self.pins, note.effects, note.answer)
        if self.client is not None:
            self.client.audited(note.answer, note.effects)
        elif self.pins or note.answer.prepared or note.answer.channels:
            self.pins = frozenset()
            self.send_ours("DISCARD ALL")

    def leftovers(self) -> list[str]:
        """SQL that takes away what is no pin."""
        statements = ["UNLISTEN *"] if self.listens else []
        statements += [f"DEALLOCATE {identifier(name)}" for name in self.named]
        self.named.clear()
        self.listens = False
        return ["; ".join(statements)]

    # --- what only few replies need ---

    def report(self, chunk: bytes, at: int) -> None:
        name, value = parse_parameter_status(self.payload(chunk, at))
        self.parameters[name] = value
        if self.client is None:
            if self.settings is NOTHING:
                self.pool.welcome[name] = value
        elif not self.skipping:
            self.client.reported[name.lower()] = value
            if not self.local:
                self.effects |= RESETS  # by a function, perhaps: which settings are the session's own now?

    def watch(self, chunk: bytes, at: int) -> None:
        """Some commands change what we hold to be true of the server."""
        self.ran = True
        if chunk[at + 5] == ord("D"):
            tag = self.payload(chunk, at)
            if tag == b"DISCARD SEQUENCES\0" and not self.skipping:
                self.effects |= FORGOT
            elif tag == b"DISCARD ALL\0":
                self.effects |= DISCARDED
                self.murky = False
                if self.client is None:
                    self.settings = NOTHING
                    self.effects = 0
            if tag == b"DEALLOCATE ALL\0" or tag == b"DISCARD ALL\0":
                self.forget_statements()

    def forget_statements(self) -> None:
        """All named statements are gone, but for those whose Parse was sent since and is still due."""
        later = self.pipeline.notes_of(ord("P"))
        self.prepared.clear()
        self.prepared.update({note[2]: note[3] for note in later if note[3] is not None})
        if self.client is not None:
            self.client.forget_statements({note[0] for note in later})

    def accepted(self, note: Any) -> None:
        """ParseComplete: the statement is known to be good, and there."""
        if note is None or type(note) is bytes:
            return
        if len(note) > 4:
            self.unconfirmed.pop(note[2], None)
        if note[3] is not None:
            note[3].parsed = True

    def learn(self, chunk: bytes, at: int, note: Any) -> None:
        """A statement's Describe was answered: keep to one name for one set of columns; the client was told, or not."""
        key = columns_key(self.withheld or b"", chunk, at)
        self.withheld = None
        if note is None or note[3] is None:
            return
        name, _, server_name, statement = note
        if server_name == statement.name:
            if statement.columns not in (0, key):
                statement.renew()
            else:
                statement.columns = key
        if name and self.client is not None:
            self.client.told(name, statement, key)

    def payload(self, chunk: bytes, at: int) -> bytes:
        return chunk[at + 5 : at + 1 + int.from_bytes(chunk[at + 1 : at + 5], "big")]

    def fail(self, chunk: bytes, at: int) -> bool:
        """ErrorResponse: drop what the server discards. True if the client must not see it."""
        pipeline = self.pipeline
        fields = parse_error_response(self.payload(chunk, at))
        self.stats.error_count += 1
        self.effects &= ~RECALLS  # there was nothing to recall, perhaps
        if fields.get("V") in ("FATAL", "PANIC"):
            self.told = self.client is not None
            log.warning("server error", server=self.id, sqlstate=fields.get("C"), message=fields.get("M"))
            return self.client is None
        if self.effects & SETS:
            self.effects |= (
                RESETS  # a setting that was refused has a value, too: which are the session's own?
            )
        entry = pipeline.peek()
        if entry < 0:
            return self.client is None
        if entry & KIND in b"QSF":
            if entry & SKIP:
                return self.fail_ours(fields)
            if entry & ~HALF == ord("Q"):
                self.unnamed = UNKNOWN_STATEMENT  # a Query that cannot be read does not end it
                self.replace(pipeline.oldest_note())
            pipeline.fail()
            return False
        if entry & SKIP and pipeline.next_sync_is_ours():
            self.undo(pipeline.fail())
            return True
        note = pipeline.failing_note()
        if type(note) is bytes:
            note = None
        withheld, self.withheld = self.withheld, None
        if self.retry(fields, note):
            return True
        self.ahead = pipeline.take_fakes() + (withheld or b"")
        self.undo(pipeline.fail())
        if note is not None:
            self.rename(chunk, at, note[2], note[0])
            self.replace(note)
        return False

    def replace(self, note: Any) -> None:
        """The client gets our error instead of the server's, if we have made it fail."""
        if note is not None and len(note) > 3 and isinstance(note[3], Refusal):
            self.stats.refused_pin_counts[note[3].reason] += 1
            self.ahead = (self.ahead or b"") + note[3].error
            self.renamed = True

    def retry(self, fields: dict[str, str], note: Any) -> bool:
        """If the request failed on an outdated statement and can be sent again, skip what is left of its answer."""
        statement = note[3] if note is not None else None
        if (
            statement is None
            or isinstance(statement, Refusal)
            or (fields.get("C"), fields.get("R")) not in STALE
        ):
            return False
        statement.renew()
        if fields["C"] != "0A000":
            self.expires_at = 0.0  # what else has been changed is not known: not to be lent again
        if self.forwarded or not self.client.may_retry(note[0], fields["C"] == "0A000"):
            return False
        self.undo(self.pipeline.fail())
        if self.pipeline.empty():
            self.pipeline.skip(
                ord("S")
            )  # a Flush ended the request; PostgreSQL discards what comes until a Sync
            self.write(build.sync())
        else:
            self.pipeline.skip_oldest()
        self.retrying = True
        return True

    def rename(self, chunk: bytes, at: int, ours: bytes, theirs: bytes) -> None:
        """In an ErrorResponse, call a statement by the name that its client gave it."""
        payload = self.payload(chunk, at)
        if self.status == ord("E") and b"\0C26000\0" in payload and self.client.knows(theirs):
            # It has the statement, but no server can be given it in a failed transaction.
            self.ahead = (self.ahead or b"") + ABORTED_ERROR
            self.renamed = True
        elif ours and ours in payload:
            payload = payload.replace(b'"' + ours + b'"', b'"' + theirs + b'"')
            message = b"E" + (len(payload) + 4).to_bytes(4, "big") + payload
            self.ahead = (self.ahead or b"") + (CHANGED_ERROR if ours == CHANGED else message)
            self.renamed = True

    def undo(self, dropped: list[tuple[int, Any]]) -> None:
        """What the server did not do, latest first."""
        for place in reversed(range(len(dropped))):
            entry, note = dropped[place]
            what = entry & KIND
            if what == ord("Q"):
                self.unnamed = UNKNOWN_STATEMENT
            if type(note) is bytes:
                self.named.pop(note, None)
                continue
            if note is None or what not in b"PC":
                continue
            name, previous, server_name, statement = note[:4]
            if len(note) > 4:
                self.undo_ours(note)
            elif server_name and what == ord("P"):
                self.prepared.pop(server_name, None)
                self.unconfirmed.pop(server_name, None)
            elif server_name:
                self.prepared[server_name] = statement
            elif not entry & FAKE:
                self.unnamed = UNKNOWN_STATEMENT
            if entry & SKIP or self.client is None:
                continue
            if not name:  # PostgreSQL gives up the unnamed statement before it looks at a new one
                previous = None if place == 0 and what == ord("P") else previous
                if self.pipeline.amend_unnamed(previous):
                    continue
            self.client.restore(name, previous)

    def undo_ours(self, note: Any) -> None:
        """A Parse of ours was discarded. If the statement is there all the same, or was sent again, it stays."""
        if self.unconfirmed.get(note[2]) == note[4]:
            del self.unconfirmed[note[2]]
            self.prepared.pop(note[2], None)

    # --- the end ---

    def abandon(self, half_sent: bool) -> None:
        """The client has gone. Roll back and keep the connection where its state is known; close it where not."""
        if self.state == CLOSED:
            return
        self.client = None
        self.free(PARTNER_FULL)
        if half_sent or self.framer.left or self.retrying or not self.pipeline.only_ours():
            self.pool.cancel(self)
            self.transport.abort()  # type: ignore[union-attr]  # a goodbye would be taken for the rest of a message
            self.close("client left with a request open")
            return
        if self.pipeline.ignoring or self.forwarded:
            self.close("client left before Sync")  # a Sync of ours would commit what the client did not
            return
        if self.spoiled:
            self.close("client left what cannot be undone")
            return
        self.used_at = monotonic()
        self.pool.move(self, TESTED)
        self.run_ours(*self.pool.cleaning(self) or [""])
        self.named.clear()
        self.effects = 0
        self.touched = set()
        self.pins = frozenset()

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit, whoever wanted it. A client that holds the server is told: `error`, or that it is lost."""
        if self.closed:
            return
        self.closed = True
        client, self.client = self.client, None
        if self.mailbox is not None:
            self.mailbox.put_nowait(None)
        if self.transport is not None:
            if self.pipeline.empty() and not self.full and not self.transport.is_closing():
                self.transport.write(build.terminate())
                self.transport.close()
            else:
                self.transport.abort()
        if self.mailbox is None:
            self.pool.lost(self, reason)
        if client is not None:
            client.server_lost(error or self.lost_error(reason), self.told or self.inside_message())

    def inside_message(self) -> bool:
        """Whether the client has part of a message: what is sent now would be taken for the rest of it."""
        return self.framer.left > 0 and not self.skipping

    def lost_error(self, reason: str) -> ServerLost:
        """What the client is told. 08007: a request was sent and its outcome is not known (promise 5)."""
        unknown = not self.pipeline.only_ours()
        return ServerLost(
            f"the connection to the server at {self.address} was lost: {reason}",
            detail="Whether the last request was carried out is not known." if unknown else "",
            sqlstate="08007" if unknown else "08006",
        )

    def state_name(self) -> str:
        return NAMES[self.state]
