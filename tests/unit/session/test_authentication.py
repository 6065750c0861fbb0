"""Password messages; whole logins are in tests/protocol/test_login.py."""

import pytest

from dbproxy.errors import ProtocolViolation
from dbproxy.net.link import Link
from dbproxy.session.authentication import read_password
from dbproxy.session.inbox import Inbox


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(Link())


async def test_a_password_is_the_payload_of_its_message(inbox: Inbox):
    inbox.add(b"p\0\0\0\x0bsecret\0next")
    assert await read_password(inbox) == b"secret\0"
    assert inbox.take_rest() == b"next"


@pytest.mark.parametrize("header", [b"Q\0\0\0\x04", b"p\0\0\0\x03", b"p\0\1\0\x04", b"p\xff\xff\xff\xff"])
async def test_what_is_no_password_is_refused_by_its_header(inbox: Inbox, header: bytes):
    inbox.add(header)
    with pytest.raises(ProtocolViolation):
        await read_password(inbox)
