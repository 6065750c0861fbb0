"""What a connection begins with: whether it is encrypted, and what it wants then (slow lane).

PostgreSQL: "SSL Session Encryption". A client asks for TLS by an SSLRequest, and waits for one byte; or it begins with
the handshake itself (since PostgreSQL 17), and says by ALPN that it will speak PostgreSQL's protocol. What it sends
ahead of the handshake may be somebody else's who sits in between (CVE-2021-23214): it is never read.
"""

from dbproxy.errors import ProtocolViolation, UnreadableStartup
from dbproxy.net.link import Link
from dbproxy.net.peer import Peer, find_peer
from dbproxy.net.secure import Secure
from dbproxy.net.tls import ALPN, ClientTls, HandshakeFailed
from dbproxy.net.transport import Transport
from dbproxy.session.inbox import Inbox
from dbproxy.wire.startup import (
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    parse_startup,
    payload_length,
)

HANDSHAKE = 0x16  # the first byte of TLS; as that of a length it would be far too much
NAMES = {SSLRequest: "SSL request", GSSENCRequest: "GSSAPI encryption request"}


async def read_opening(
    link: Link, inbox: Inbox, tls: ClientTls | None
) -> tuple[StartupMessage | CancelRequest, Peer]:
    """What it wants, and who it is as far as its line shows. `tls` None: nobody is encrypted.

    Something has come already.
    """
    asked: set[type] = set()
    peer = find_peer(link.transport)
    if tls is not None and inbox.data[0] == HANDSHAKE:
        peer = await encrypt(link, inbox, tls, direct=True)
    while True:
        if not inbox.has(4):
            await inbox.wait(4)
        size = 4 + payload_length(inbox.data)
        if not inbox.has(size):
            await inbox.wait(size)
        opening = parse_startup(inbox.cut(size)[4:])
        if isinstance(opening, StartupMessage | CancelRequest):
            return opening, peer
        if type(opening) in asked or peer.encrypted:
            raise ProtocolViolation(f"received another {NAMES[type(opening)]}", sqlstate="0A000")
        asked.add(type(opening))
        if isinstance(opening, SSLRequest) and tls is not None and peer.unix_uid is None:
            if inbox.data:
                raise ProtocolViolation(
                    "received unencrypted data after SSL request",
                    detail="This could be either a client-software bug or evidence of an attempted "
                    "man-in-the-middle attack.",
                )
            link.write(b"S")
            peer = await encrypt(link, inbox, tls, direct=False)
        else:
            link.write(b"N")


async def encrypt(link: Link, inbox: Inbox, tls: ClientTls, *, direct: bool) -> Peer:
    """From now on the link is encrypted. UnreadableStartup if that cannot be."""
    data = inbox.take_rest()
    plain = link.transport
    assert isinstance(plain, Transport)
    line = Secure(tls.context, server_side=True)
    link.attach(line)
    line.begin(plain, data)
    try:
        await line.shaken
    except HandshakeFailed as error:
        tls.handshakes.failed += 1
        raise UnreadableStartup(f"could not accept SSL connection: {error}") from None
    if direct and line.line.selected_alpn_protocol() != ALPN:
        tls.handshakes.failed += 1
        raise UnreadableStartup(
            "received direct SSL connection request without ALPN protocol negotiation extension"
        )
    tls.handshakes.done += 1
    peer = find_peer(line, direct=direct, binding=tls.binding)  # what comes next may break the line
    line.serve(link)
    return peer
