"""Tables go out as PostgreSQL's messages."""

from dbproxy.admin.table import BATCH, Table, columns
from dbproxy.wire import messages

SHAPE = columns("name:s pool_size:i ttl:q total:N")


def test_columns_have_pgbouncers_types() -> None:
    assert SHAPE == (("name", 25, -1), ("pool_size", 23, 4), ("ttl", 20, 8), ("total", 1700, -1))


def test_table_is_described_sent_and_completed() -> None:
    data = b"".join(Table(SHAPE, [("app", 5, None, 10**20)]).pieces())
    description, row, complete = split_messages(data)
    assert [column.name for column in description.body.columns] == ["name", "pool_size", "ttl", "total"]
    assert list(row.body["values"]) == [b"app", b"5", None, b"100000000000000000000"]
    assert complete.body.tag == "SHOW"


def test_name_that_is_not_utf8_comes_back_as_it_was() -> None:
    _, row, _ = split_messages(b"".join(Table(columns("name:s"), [("a\udcff",)]).pieces()))
    assert list(row.body["values"]) == [b"a\xff"]


def test_long_table_goes_out_in_pieces_and_whole() -> None:
    numbers = range(3 * BATCH + 1)
    pieces = list(Table(columns("number:i"), ((number,) for number in numbers)).pieces())
    assert len(pieces) == 2 + 4
    _, *rows, _ = split_messages(b"".join(pieces))
    assert [int(row.body["values"][0]) for row in rows] == list(numbers)


def split_messages(data: bytes) -> list:
    found = []
    while data:
        size = 1 + int.from_bytes(data[1:5], "big")
        found.append(messages.BACKEND_MESSAGE.parse(data[:size]))
        data = data[size:]
    return found
