"""TLS between a connection's socket and its protocol: a protocol to the one, a transport to the other.

To the transport below it is who receives; to the protocol it is what `net.transport.Transport` is. It keeps nothing
back: what is written is encrypted at once and kept below if the kernel does not take it, and all that can be
decrypted is handed on at once. So a pause, below or above, is one of the other side, too.

A connection that ends without TLS's own goodbye (close_notify) was cut off: who reads it hears of an error.
"""

import asyncio
import contextlib
import ssl
from typing import Any

from dbproxy.net.direct import has_news
from dbproxy.net.tls import HandshakeFailed, say
from dbproxy.net.transport import Receiver, Transport

RECORD = 16384  # bytes in one record of TLS, at most
SHAKING, OPEN, ENDED, CLOSED = range(4)  # ENDED: the peer has said goodbye

CUT_OFF = "SSL connection has been closed unexpectedly"


class Secure(Receiver):
    """One line, from the handshake to its end. `shaken`: done when the handshake is, or failed as HandshakeFailed."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, name: str | None = None) -> None:
        """`name`: of the server, for SNI and to be looked for in its certificate. ValueError if it cannot be one."""
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.line = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=name
        )
        self.loop = asyncio.get_running_loop()
        self.shaken: asyncio.Future[None] = self.loop.create_future()
        self.transport: Transport | None = None
        self.protocol: Any = None
        self.receiver: Receiver | None = None
        self.phase = SHAKING
        self.certificate: bytes | None = None  # the peer's, in DER; a line that breaks later tells it no more
        self.error: Exception | None = None

    # --- the handshake ---

    def begin(self, transport: Transport, data: bytes = b"") -> None:
        """On a transport whose protocol this becomes; `data`: what has come of the handshake already."""
        self.transport = transport
        transport.set_protocol(self)
        self.incoming.write(data)
        self.shake()

    def shake(self) -> None:
        try:
            self.line.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
        except (ssl.SSLError, ValueError) as error:
            self.flush()  # tells the other side why
            self.fail(say(error))
        else:
            self.phase = OPEN
            self.certificate = self.line.getpeercert(binary_form=True)
            self.transport.pause_reading()  # type: ignore[union-attr]  # until there is a protocol
            self.flush()
            if not self.shaken.done():
                self.shaken.set_result(None)

    def fail(self, reason: str) -> None:
        """The handshake has."""
        self.phase = CLOSED
        if not self.shaken.done():
            self.shaken.set_exception(HandshakeFailed(reason))
            self.shaken.exception()  # whoever waited may have gone
        self.transport.close()  # type: ignore[union-attr]  # it has begun

    def serve(self, protocol: Any) -> None:
        """The handshake is done: from now on the connection is this protocol's."""
        self.set_protocol(protocol)
        if self.phase == CLOSED:
            self.loop.call_soon(self.connection_lost, None)
            return
        self.transport.resume_reading()  # type: ignore[union-attr]  # until closed
        if self.incoming.pending:
            self.read()

    # --- what the transport says ---

    def connection_made(self, transport: Transport) -> None:
        """Of a connection that was made to be encrypted."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.incoming.write(data)
        if self.phase == OPEN:
            self.read()
        elif self.phase == SHAKING:
            self.shake()

    def read(self) -> None:
        """Hand on what can be decrypted; whoever pauses has it all the same, as with a plain line."""
        data = b""
        try:
            data = self.line.read(RECORD)
            if data and self.incoming.pending:
                data = self.read_on(data)
            elif not data:
                self.phase = ENDED
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.lose(error)
            return
        if self.outgoing.pending:
            self.flush()  # an answer of TLS itself, such as to a new key
        if data:
            if self.receiver is not None:
                self.receiver.data_received(data)
            else:
                self.protocol.data_received(data)
        if self.phase == ENDED and self.transport.is_reading():  # type: ignore[union-attr]  # as above
            self.end()

    def read_on(self, data: bytes) -> bytes:
        """With what the next records hold. A goodbye behind them is noted."""
        parts = [data]
        try:
            while self.incoming.pending:
                data = self.line.read(RECORD)
                if not data:
                    self.phase = ENDED
                    break
                parts.append(data)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def end(self) -> None:
        """The peer has said goodbye, and all that came before it is read."""
        if self.phase == ENDED and self.protocol is not None and not self.protocol.eof_received():
            self.close()

    def lose(self, error: Exception) -> None:
        """What came makes no sense: tell the peer, and be gone."""
        self.error = ConnectionError(f"SSL error: {say(error)}")
        self.flush()
        self.phase = CLOSED
        self.transport.close()  # type: ignore[union-attr]  # as above

    def eof_received(self) -> None:
        if self.phase == SHAKING:
            self.fail("the connection was closed during the handshake")
        elif self.phase == OPEN:
            self.error = ConnectionError(CUT_OFF)

    def connection_lost(self, error: Exception | None) -> None:
        if self.phase == SHAKING:
            self.fail(say(error) if error else "the connection was closed during the handshake")
        self.phase = CLOSED
        protocol, self.protocol, self.receiver = self.protocol, None, None
        if protocol is not None:
            protocol.connection_lost(error or self.error)

    def pause_writing(self) -> None:
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        if self.protocol is not None:
            self.protocol.resume_writing()

    # --- what the protocol asks ---

    def write(self, data: bytes) -> None:
        """Nothing goes out before the handshake is done."""
        if self.phase == OPEN or self.phase == ENDED:
            try:
                taken = self.line.write(data)
                if taken < len(data):
                    self.write_rest(data, taken)
            except ssl.SSLError as error:
                self.lose(error)
                return
            self.transport.write(self.outgoing.read())  # type: ignore[union-attr]  # as above

    def write_rest(self, data: bytes, taken: int) -> None:
        """OpenSSL may take a record at a time, which may be a short one (RFC 6066); Python's has it take all."""
        view = memoryview(data)[taken:]
        while view:
            view = view[self.line.write(view) :]

    def flush(self) -> None:
        data = self.outgoing.read()
        if data:
            self.transport.write(data)  # type: ignore[union-attr]  # as above

    def has_news(self) -> bool:
        """As `Link.has_news`; a record of which not all has come is news, too."""
        if self.incoming.pending or self.phase != OPEN:
            return True
        return has_news(self.transport.fd)  # type: ignore[union-attr]  # as above

    def pause_reading(self) -> None:
        self.transport.pause_reading()  # type: ignore[union-attr]  # as above

    def resume_reading(self) -> None:
        self.transport.resume_reading()  # type: ignore[union-attr]  # as above
        if self.phase == ENDED:
            self.loop.call_soon(self.end)

    def close(self) -> None:
        """With a goodbye; what was written still goes out."""
        if self.phase in (OPEN, ENDED):
            with contextlib.suppress(ssl.SSLError):  # it would wait for the peer's goodbye; we don't
                self.line.unwrap()
            self.flush()
        self.phase = CLOSED
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        self.phase = CLOSED
        if self.transport is not None:
            self.transport.abort()

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol
        self.receiver = protocol if isinstance(protocol, Receiver) else None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self.line
        if name == "certificate":
            return self.certificate
        return default if self.transport is None else self.transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self.phase == CLOSED

    def is_reading(self) -> bool:
        return self.transport is not None and self.transport.is_reading()
