"""TLS from either side: spoken as it should be (tests.fuzz.talk), and changed on its way (tests.fuzz.records).

What OpenSSL draws by chance differs from run to run, so an input says which records are changed, and how.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trustme

from dbproxy.net.certificate import bind
from dbproxy.net.tls import read_own
from tests.fuzz.records import PLAIN, change_script
from tests.fuzz.server import Responder
from tests.fuzz.sessions import SSL_REQUEST, STARTS, WORK
from tests.fuzz.talk import EncryptedClient, EncryptedServer
from tests.fuzz.world import Failure, Hear, Plain, World
from tests.support.certificates import Authority, Certificate

HEADER = 3  # bytes of an input that are no order
NO_ORDER = b"\0\xff\0\0\0"  # to a record that is never sent
DEMANDING = ("require", "verify-ca", "verify-full")


class Keys:
    """Certificates of this run: they are in the folder while it is there."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.server, self.client = (self.issue(name) for name in ("localhost", "app"))
        self.stranger = Authority(self.make(folder / "stranger")).issue("localhost", key_type=CURVE)

    def make(self, folder: Path) -> Path:
        folder.mkdir()
        return folder

    def issue(self, name: str) -> Certificate:
        return self.authority.issue(f"{name}.test", name, "127.0.0.1", common_name=name, key_type=CURVE)


CURVE = trustme.KeyType.ECDSA  # quicker than RSA


def make_context(
    protocol: int,
    certificate: Certificate | None,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    speaks: Sequence[str] = ("postgresql",),
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    if speaks:
        context.set_alpn_protocols(list(speaks))
    if certificate is not None:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context


class EncryptedClientSide:
    """The input is what becomes of a client's records. Header: who the client is, the pieces, what is asked of it."""

    def __init__(self, world: World, keys: Keys) -> None:
        self.world = world
        old = ssl.TLSVersion.TLSv1_2
        self.contexts = [
            make_context(ssl.PROTOCOL_TLS_CLIENT, None),
            make_context(ssl.PROTOCOL_TLS_CLIENT, keys.client),
            make_context(ssl.PROTOCOL_TLS_CLIENT, keys.client, newest=old),
            make_context(ssl.PROTOCOL_TLS_CLIENT, keys.stranger, speaks=()),
            make_context(ssl.PROTOCOL_TLS_CLIENT, None, newest=old, speaks=("http/1.1",)),
        ]
        ours = {
            "tls.client_tls_cert_file": keys.server.chain,
            "tls.client_tls_key_file": keys.server.key,
            "tls.client_tls_ca_file": keys.authority.path,
        }
        self.demands: Sequence[Mapping[str, object]] = [
            {**ours, "tls.client_tls_sslmode": "require", "auth.type": "trust"},
            {**ours, "tls.client_tls_sslmode": "allow", "auth.type": "trust"},
            {**ours, "tls.client_tls_sslmode": "verify-full", "auth.type": "trust"},
            {**ours, "tls.client_tls_sslmode": "require", "tls.client_tls_protocols": "tlsv1.2"},
        ]
        work = [STARTS["plain"], *WORK["simple"], b""]
        self.sessions = [[SSL_REQUEST, *work], [b"", *work], [SSL_REQUEST, SSL_REQUEST, b"", *work]]
        self.seeds = [
            bytes([who + 5 * which, 0, demand]) + NO_ORDER
            for who in range(len(self.contexts))
            for which in range(len(self.sessions))
            for demand in range(len(self.demands))
        ]

    def run(self, data: bytes) -> None:
        header = data[:HEADER].ljust(HEADER, b"\0")
        settings = self.demands[header[2] % len(self.demands)]
        client = EncryptedClient(self.contexts[header[0] % 5], data[HEADER:])
        heard: list[bytes] = []

        def make_server() -> Hear:
            answer = Responder().answer

            def note(said: bytes) -> bytes:
                heard.append(said)
                return answer(said)

            return note

        self.world.make_server = make_server
        steps = self.sessions[header[0] // 5 % len(self.sessions)]
        self.world.run(settings, steps, header[1], speaker=client)
        if settings["tls.client_tls_sslmode"] in DEMANDING and PLAIN.encode() in b"".join(heard):
            raise Failure("what was not encrypted was taken for it")

    def mutate(self, data: bytes, random: Random) -> bytes:
        return change(data, random, 5 * len(self.sessions), len(self.demands))


AGREES = (
    b"S", b"S", b"S", b"S", b"N", b"", b"SS", b"S\x16\x03\x03\0\4\0\0\0\0", b"E\0\0\0\x17SFATAL\0C57P01\0Mno\0\0\0",
    b"G", b"\0", b"NS", b"\x15\x03\x03\0\2\2\x28", b"R\0\0\0\x08\0\0\0\0", b"s", b"S" * 5000,
)  # fmt: skip


class EncryptedServerSide:
    """The input is what becomes of a server's records. Header: who it is and agrees to, the pieces, how it is asked."""

    def __init__(self, world: World, keys: Keys) -> None:
        self.world = world
        old = ssl.TLSVersion.TLSv1_2
        self.contexts = [
            make_context(ssl.PROTOCOL_TLS_SERVER, keys.server),
            make_context(ssl.PROTOCOL_TLS_SERVER, keys.server, newest=old),
            make_context(ssl.PROTOCOL_TLS_SERVER, keys.stranger),
            make_context(ssl.PROTOCOL_TLS_SERVER, keys.client, newest=old, speaks=()),
        ]
        self.binding = bind(read_own(str(keys.server.chain)))
        root = f"sslrootcert={keys.authority.path}"
        self.wishes = [
            f"sslmode=verify-full&{root}",
            "sslmode=require",
            f"sslmode=verify-ca&channel_binding=require&{root}",
            f"sslmode=require&sslnegotiation=direct&{root}",
            "sslmode=prefer",
            "sslmode=allow",
        ]
        self.steps = [STARTS["plain"], *WORK["simple"]]
        self.seeds = [
            bytes([who, 0, wish]) + NO_ORDER
            for who in range(len(self.contexts) * len(AGREES))
            for wish in range(len(self.wishes))
            if who < len(self.contexts) or who % len(self.contexts) == wish % len(self.contexts)
        ]

    def run(self, data: bytes) -> None:
        header = data[:HEADER].ljust(HEADER, b"\0")
        wish = self.wishes[header[2] % len(self.wishes)]
        url = f"postgresql://app:secret@127.0.0.1:1/shop?{wish}"
        context = self.contexts[header[0] % len(self.contexts)]
        agrees = AGREES[header[0] // len(self.contexts) % len(AGREES)]
        method = "scram-sha-256" if "binding" in wish or header[0] >= len(self.contexts) * 8 else "trust"

        def make_server() -> Hear:
            answer = Responder(method, self.binding).answer
            asked = None if "direct" in wish else agrees
            return EncryptedServer(context, data[HEADER:], answer, asked).hear

        self.world.make_server = make_server
        client = Plain()
        self.world.run({"primary.url": url, "auth.type": "trust"}, self.steps, header[1], speaker=client)
        if wish.partition("&")[0].removeprefix("sslmode=") in DEMANDING and PLAIN.encode() in client.heard:
            raise Failure("what was not encrypted was taken for it")

    def mutate(self, data: bytes, random: Random) -> bytes:
        return change(data, random, 256, len(self.wishes))


def change(data: bytes, random: Random, first: int, last: int) -> bytes:
    """The script, and now and then who is there and what is asked."""
    data = data.ljust(HEADER, b"\0")
    who = data[0] if random.random() < 0.7 else random.randrange(first)
    what = data[2] if random.random() < 0.7 else random.randrange(last)
    return bytes([who, random.randrange(256), what]) + change_script(data[HEADER:], random)


Side = Callable[[World, Keys], EncryptedClientSide | EncryptedServerSide]


@contextmanager
def open_encrypted(make: Side, world: World) -> Iterator[EncryptedClientSide | EncryptedServerSide]:
    with TemporaryDirectory() as folder:
        yield make(world, Keys(Path(folder)))
