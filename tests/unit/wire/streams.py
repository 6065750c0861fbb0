"""Any stream of messages, built by the declarations of wire.messages, and any way to split it."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from dbproxy.wire import messages
from dbproxy.wire.codes import Backend, Frontend

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
int16 = st.integers(-(2**15), 2**15 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
uint32 = st.integers(0, 2**32 - 1)
blobs = st.binary(max_size=40)
values = st.lists(st.none() | blobs, max_size=4)
formats = st.lists(int16, max_size=4)
targets = st.fixed_dictionaries({"target": st.sampled_from("SP"), "name": texts})
fields = st.fixed_dictionaries({"fields": st.dictionaries(st.sampled_from("SVCMDHR"), texts, max_size=4)})
raw = st.fixed_dictionaries({"data": blobs})
nothing = st.just({})
copying = st.fixed_dictionaries({"format": st.integers(0, 1), "columns": formats})
column = st.fixed_dictionaries(
    {
        "name": texts,
        "table": uint32,
        "attribute": int16,
        "type": uint32,
        "size": int16,
        "modifier": int32,
        "format": int16,
    }
)

FRONTEND = {
    Frontend.BIND: st.fixed_dictionaries(
        {"portal": texts, "statement": texts, "formats": formats, "values": values, "result_formats": formats}
    ),
    Frontend.CLOSE: targets,
    Frontend.COPY_DATA: raw,
    Frontend.COPY_DONE: nothing,
    Frontend.COPY_FAIL: st.fixed_dictionaries({"reason": texts}),
    Frontend.DESCRIBE: targets,
    Frontend.EXECUTE: st.fixed_dictionaries({"portal": texts, "max_rows": int32}),
    Frontend.FLUSH: nothing,
    Frontend.FUNCTION_CALL: st.fixed_dictionaries(
        {"function": uint32, "formats": formats, "values": values, "result_format": int16}
    ),
    Frontend.PARSE: st.fixed_dictionaries(
        {"name": texts, "query": texts, "types": st.lists(uint32, max_size=4)}
    ),
    Frontend.QUERY: st.fixed_dictionaries({"query": texts}),
    Frontend.SYNC: nothing,
    Frontend.TERMINATE: nothing,
}
BACKEND = {
    Backend.BIND_COMPLETE: nothing,
    Backend.CLOSE_COMPLETE: nothing,
    Backend.COMMAND_COMPLETE: st.fixed_dictionaries({"tag": texts}),
    Backend.COPY_DATA: raw,
    Backend.COPY_DONE: nothing,
    Backend.COPY_IN_RESPONSE: copying,
    Backend.COPY_OUT_RESPONSE: copying,
    Backend.DATA_ROW: st.fixed_dictionaries({"values": values}),
    Backend.EMPTY_QUERY_RESPONSE: nothing,
    Backend.ERROR_RESPONSE: fields,
    Backend.FUNCTION_CALL_RESPONSE: st.fixed_dictionaries({"value": st.none() | blobs}),
    Backend.NO_DATA: nothing,
    Backend.NOTICE_RESPONSE: fields,
    Backend.NOTIFICATION_RESPONSE: st.fixed_dictionaries({"pid": uint32, "channel": texts, "payload": texts}),
    Backend.PARAMETER_DESCRIPTION: st.fixed_dictionaries({"types": st.lists(uint32, max_size=4)}),
    Backend.PARAMETER_STATUS: st.fixed_dictionaries({"name": texts, "value": texts}),
    Backend.PARSE_COMPLETE: nothing,
    Backend.PORTAL_SUSPENDED: nothing,
    Backend.READY_FOR_QUERY: st.fixed_dictionaries({"status": st.sampled_from(b"ITE")}),
    Backend.ROW_DESCRIPTION: st.fixed_dictionaries({"columns": st.lists(column, max_size=3)}),
}


def stream(declaration: Any, bodies: dict[int, Any]) -> st.SearchStrategy[list[tuple[int, bytes]]]:
    """Messages as (kind, bytes)."""

    def build(kind: int) -> st.SearchStrategy[tuple[int, bytes]]:
        return bodies[kind].map(lambda body: (kind, messages.build(declaration, kind, body)))

    return st.lists(st.sampled_from(sorted(bodies)).flatmap(build), max_size=12)


client_streams = stream(messages.FRONTEND_MESSAGE, FRONTEND)
server_streams = stream(messages.BACKEND_MESSAGE, BACKEND)


def splitting(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The pieces in which `data` may arrive."""
    if len(data) < 2:
        return st.just([data] if data else [])
    cuts = st.sets(st.integers(1, len(data) - 1), max_size=20) | st.just(set(range(1, len(data))))
    return cuts.map(lambda places: cut(data, sorted(places)))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *places, len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]
