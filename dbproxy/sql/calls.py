"""Calls in a text that is one SELECT of nothing but expressions: where they are, so that an answer can be put in.

What only the proxy knows of a session (who has which process id, what a sequence gave out on another server) is put in
around the call: `(SELECT CASE WHEN true THEN answer ELSE call END AS name)`. The call is never run, and yet gives the
parameters and the column their types; the column keeps its name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dbproxy.sql.setters import Node

NAMES = frozenset({"pg_cancel_backend", "pg_terminate_backend", "currval", "lastval"})
_SERIAL = "pg_get_serial_sequence"
_EXPRESSIONS = frozenset({"target_list", "limit_count", "limit_option", "op"})  # what such a SELECT has


@dataclass(frozen=True, slots=True)
class Operand:
    """A literal, or a parameter by its number (from 1)."""

    literal: str | None = None
    parameter: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Of `name`, between two offsets in bytes. `argument`: the text of the first argument.

    `operands`: what that is made of, none if it is neither an operand nor `pg_get_serial_sequence` of two (`serial`).
    """

    name: str
    start: int
    stop: int
    argument: bytes = b""
    operands: tuple[Operand, ...] = ()
    serial: bool = False


def has_row_of_its_own(statement: Node) -> bool:
    """Whether it is a SELECT of expressions only, that reads nothing."""
    return statement.WhichOneof("node") == "select_stmt" and all(
        field.name in _EXPRESSIONS for field, _ in statement.select_stmt.ListFields()
    )


def locate(text: bytes, nodes: Iterable[Node], tokens: list[tuple[int, int]]) -> list[Call]:
    """The calls of `NAMES` among these FuncCalls; `tokens`: where each token begins and ends."""
    found = []
    for node in nodes:
        name = _name_of(node)
        if name in NAMES:
            inside = [token for token in tokens if token[0] >= node.location]
            argument, stop = _extent(text, inside)
            value = _without_casts(node.args[0]) if node.args else None
            inner = value.func_call if value is not None and _name_of(value.func_call) == _SERIAL else None
            operands = _operands(node.args[:1] if inner is None else inner.args)
            found.append(Call(name, node.location, stop, argument, operands, inner is not None))
    return found


def is_answerable(call: Call) -> bool:
    """Whether what it asks for can be told ahead."""
    return call.name == "lastval" or len(call.operands) == (2 if call.serial else 1)


def put_in(text: bytes, answers: Mapping[Call, str]) -> bytes:
    """The text with these answers: what stands before the ELSE of a CASE, in SQL."""
    for call in sorted(answers, key=lambda call: -call.start):
        parts = (
            text[: call.start],
            f"(SELECT {answers[call]} ELSE ".encode(),
            text[call.start : call.stop],
            f" END AS {call.name})".encode(),
            text[call.stop :],
        )
        text = b"".join(parts)
    return text


def _name_of(node: Node) -> str:
    """Of a FuncCall: PostgreSQL's function, "" if it is another's."""
    *schema, name = [part.string.sval for part in node.funcname] or [""]
    return name if schema in ([], ["pg_catalog"]) else ""


def _extent(text: bytes, tokens: list[tuple[int, int]]) -> tuple[bytes, int]:
    """Of the call that these tokens begin with: the text of its first argument, and where it ends."""
    depth = begin = end = 0  # of the argument
    for place, (start, stop) in enumerate(tokens):
        word = text[start:stop]
        depth += (word in (b"(", b"[")) - (word in (b")", b"]"))
        if depth == 1 and not begin:
            begin = place + 1
        elif begin and not end and (depth == 0 or (depth == 1 and word == b",")):
            end = place
        if begin and depth == 0:
            return text[tokens[begin][0] : tokens[end - 1][1]] if end > begin else b"", stop
    raise ValueError("a call without an end")


def _without_casts(node: Node) -> Node:
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return node


def _operands(nodes: Iterable[Node]) -> tuple[Operand, ...]:
    """Those of these expressions that are literals or parameters."""
    found = []
    for node in map(_without_casts, nodes):
        if node.WhichOneof("node") == "param_ref" and node.param_ref.number:
            found.append(Operand(parameter=node.param_ref.number))
        elif node.WhichOneof("node") == "a_const" and node.a_const.WhichOneof("val") == "sval":
            found.append(Operand(node.a_const.sval.sval))
        elif node.WhichOneof("node") == "a_const" and node.a_const.WhichOneof("val") == "ival":
            found.append(Operand(str(node.a_const.ival.ival)))
    return tuple(found)
