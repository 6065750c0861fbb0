"""The ids of a request, for every log line about it: those that its client has written into the text (sql.tags).

A request that brings none has one of ours: the client's number, and when the request came, in microseconds since the
client did, as hexadecimal digits. What comes in one breath, as a pipeline does, shares it.
"""

from dbproxy.pool.request import Request
from dbproxy.session.identity import Identity
from dbproxy.sql.tags import read_tags, trace_id
from dbproxy.wire.extended import statement_text

IDS = frozenset({"traceparent", "request_id", "correlation_id"})  # each of them is enough


def name_sent(request: Request, client: Identity) -> dict[str, str]:
    """Of one that was sent to a server. A text that is an earlier request's has that one's tags."""
    text = b"" if request.aged else statement_text(request.chunk, request.at)
    return name_request(text, client, request.arrived)


def name_request(text: bytes, client: Identity, arrived: float) -> dict[str, str]:
    """`text` is the request's SQL, as it came; `arrived`: monotonic seconds."""
    found = read_tags(text)
    if "traceparent" in found:
        found["trace_id"] = trace_id(found["traceparent"])
    if IDS.isdisjoint(found):
        found["request_id"] = f"{client.id}-{int((arrived - client.connected_at) * 1e6):x}"
    return found
