"""What a statement asks of its session that the proxy has to answer, as no server can."""

from typing import TYPE_CHECKING

from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.signals import SIGNALS, Values, signal
from dbproxy.sql.calls import is_answerable, put_in
from dbproxy.sql.parser import find_calls

if TYPE_CHECKING:
    from dbproxy.session.client import Client


def answer(client: "Client", server: Server, text: bytes, values: Values) -> bytes | Refusal | None:
    """The *bare* text with answers put in, or why it is refused; None: it is sent as it is."""
    if server.dialogue.status == ord("E"):
        return None
    recollection = client.state.recollection
    own = recollection.is_known_to(server)
    answers = {}
    for call in filter(is_answerable, find_calls(text)):
        if call.name in SIGNALS:
            found = signal(client.identity, client.state.house, server, call, values)
            if isinstance(found, Refusal):
                return found
        elif own:
            continue
        else:
            found = recollection.answer(server, call, values)
            server.dialogue.traces.sequences.advanced |= not found
        if found:
            answers[call] = found
    return put_in(text, answers) if answers else None
