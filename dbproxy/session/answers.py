"""What a statement asks of its session that the proxy has to answer, as no server can."""

from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.house import House
from dbproxy.session.identity import Identity
from dbproxy.session.recollection import Recollection
from dbproxy.session.signals import SIGNALS, Values, signal
from dbproxy.sql.calls import is_answerable, put_in
from dbproxy.sql.parser import find_calls


def answer(client: Identity, house: House, recollection: Recollection | None, server: Server, text: bytes,
           values: Values) -> bytes | Refusal | None:  # fmt: skip
    """The *bare* text with answers put in, or why it is refused; None: it is sent as it is.

    `recollection`: None if the server itself has to say what sequences gave out.
    """
    if server.dialogue.status == ord("E"):
        return None
    answers = {}
    for call in filter(is_answerable, find_calls(text)):
        if call.name in SIGNALS:
            found = signal(client, house, server, call, values)
            if isinstance(found, Refusal):
                return found
        elif recollection is None:
            continue
        else:
            found = recollection.answer(server, call, values)
            server.dialogue.traces.sequences.advanced |= not found
        if found:
            answers[call] = found
    return put_in(text, answers) if answers else None
