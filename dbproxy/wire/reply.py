"""What a server's replies say, as far as we look into them: one reader of each.

PostgreSQL: "Message Formats". Functions take a chunk and the offset `at` of the message's kind byte, or a payload: what
follows the message's length.
"""

from dbproxy.errors import ProtocolViolation
from dbproxy.wire.extended import length_at

FIRST_OWN_TYPE = 16384  # PostgreSQL's FirstNormalObjectId: what it comes with has smaller numbers
NO_ROWS = -1


def check_reply(chunk: bytes, at: int) -> None:
    """Raise ProtocolViolation if the ReadyForQuery or CommandComplete at `at` is malformed: both are looked into."""
    buffer = chunk
    length = length_at(chunk, at)
    if buffer[at] == ord("C"):
        if length < 8 or buffer[at + length - 1]:  # DO is the shortest tag that there is
            raise ProtocolViolation("malformed CommandComplete message")
    elif length != 6 or (
        buffer[at + 5] != ord("I") and buffer[at + 5] != ord("T") and buffer[at + 5] != ord("E")
    ):
        raise ProtocolViolation("malformed ReadyForQuery message")


def read_rows(chunk: bytes, at: int) -> int:
    """The number at the end of the CommandComplete's tag; NO_ROWS if there is none, as of BEGIN."""
    buffer = chunk
    last = at + length_at(chunk, at) - 2
    index = last
    rows, factor = 0, 1
    while index > at + 4 and ord("0") <= buffer[index] <= ord("9"):
        rows += (buffer[index] - ord("0")) * factor
        factor *= 10
        index -= 1
    return rows if index < last else NO_ROWS


def read_sqlstate(payload: bytes) -> str:
    """Of an ErrorResponse; XX000 if what stands there is none."""
    fields = payload.split(b"\0")
    found = next((field[1:] for field in fields if field[:1] == b"C"), b"")
    return found.decode() if len(found) == 5 and found.isalnum() else "XX000"


def row_values(payload: bytes) -> list[bytes]:
    """Of a DataRow's payload: its values; NULL is empty. ProtocolViolation if it is none."""
    values = []
    position = 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        length = max(0, int.from_bytes(payload[position : position + 4], "big", signed=True))
        position += 4
        values.append(payload[position : position + length])
        position += length
    if position != len(payload):
        raise ProtocolViolation("malformed DataRow message")
    return values


def columns_key(parameters: bytes, chunk: bytes, at: int) -> int:
    """What a Describe was answered: ParameterDescription, b"" for a portal; then RowDescription or NoData at `at`.

    Equal for equal types, and names of columns; where the columns come from is nothing to the reader, nor are a
    portal's formats. Never 0; odd if types are the database's own. ProtocolViolation if one of them is malformed.
    """
    if parameters and (
        len(parameters) < 7 or len(parameters) != 7 + 4 * int.from_bytes(parameters[5:7], "big")
    ):
        raise ProtocolViolation("malformed ParameterDescription message")
    told = [parameters]
    types = [parameters[place : place + 4] for place in range(7, len(parameters), 4)]
    position = at + 7
    end = at + length_at(chunk, at)
    for _ in range(int.from_bytes(chunk[at + 5 : min(position, end)], "big") if chunk[at] == ord("T") else 0):
        stop = chunk.find(b"\0", position, end)
        told += (chunk[position : stop + 1], chunk[stop + 7 : stop + 11], chunk[stop + 13 : stop + 17])
        types.append(chunk[stop + 7 : stop + 11])
        position = stop + 19 if stop >= 0 else end + 1
    if chunk[at] == ord("T") and position != end:
        raise ProtocolViolation("malformed RowDescription message")
    own = any(int.from_bytes(one, "big") >= FIRST_OWN_TYPE for one in types)
    return (hash(b"".join(told)) & ~1 or 2) | own
