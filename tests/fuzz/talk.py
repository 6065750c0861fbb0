"""Who speaks TLS, as OpenSSL does; what they say is changed on its way (tests.fuzz.records)."""

import ssl
from contextlib import suppress

from tests.fuzz.line import Hear
from tests.fuzz.records import Tampering
from tests.fuzz.sessions import SSL_REQUEST

RECORD = 16384


class Talk:
    """One end, as OpenSSL speaks it; plain until it begins."""

    def __init__(self, context: ssl.SSLContext, script: bytes, *, server_side: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else "localhost"
        self.line = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=name
        )
        self.tampering = Tampering(script)
        self.begun = self.open = self.broken = False

    def begin(self) -> bytes:
        self.begun = True
        self.shake()
        return self.take()

    def shake(self) -> None:
        try:
            self.line.do_handshake()
            self.open = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, ValueError):  # ValueError: a certificate of no name
            self.broken = True

    def read(self, data: bytes) -> bytes:
        """What is in it."""
        self.incoming.write(data)
        if not self.open and not self.broken:
            self.shake()
        found = b""
        while self.open and not self.broken:
            try:
                part = self.line.read(RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                self.broken = True
                break
            if not part:
                break
            found += part
        return found

    def write(self, data: bytes) -> None:
        while data and not self.broken:
            try:
                data = data[self.line.write(data) :]
            except ssl.SSLError:
                self.broken = True

    def leave(self) -> None:
        with suppress(ssl.SSLError):
            self.line.unwrap()

    def take(self) -> bytes:
        """What goes out."""
        return self.tampering.change(self.outgoing.read())


class EncryptedClient(Talk):
    """Asks by an SSLRequest, its first step, or begins at once. What it cannot say encrypted it says all the same."""

    def __init__(self, context: ssl.SSLContext, script: bytes) -> None:
        super().__init__(context, script, server_side=False)
        self.heard = bytearray()

    def say(self, step: bytes) -> bytes:
        if self.tampering.ended:
            return b""
        if not self.open:
            return self.begin() if not step and not self.begun else self.tampering.change(step)
        if step:
            self.write(step)
        else:
            self.leave()
        return self.take()

    def hear(self, data: bytes) -> bytes:
        if not self.begun:
            return self.begin() if data.startswith(b"S") else b""
        self.heard += self.read(data)
        return self.take()


class EncryptedServer(Talk):
    """`answer` is what stands behind it; `agrees` is what it says to an SSLRequest, None: nobody asks it."""

    def __init__(self, context: ssl.SSLContext, script: bytes, answer: Hear, agrees: bytes | None) -> None:
        super().__init__(context, script, server_side=True)
        self.answer = answer
        self.agrees = agrees
        self.plain = False

    def hear(self, data: bytes) -> bytes:
        if self.tampering.ended:
            return b""
        if self.agrees is not None:
            agrees, self.agrees = self.agrees, None
            self.plain = data != SSL_REQUEST or not agrees.startswith(b"S")
            if data == SSL_REQUEST:
                return agrees
        if self.plain:
            return self.tampering.change(self.answer(data))
        said = self.read(data)
        if said:
            self.write(self.answer(said))
        return self.take()
