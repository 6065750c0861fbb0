"""What is fuzzed: the client's side, the server's side, and what reads a text without either.

An input is bytes alone. Of those for a side the first three choose the session and how the rest comes in pieces.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from types import MappingProxyType
from typing import Protocol

from tests.fuzz.encrypted import EncryptedClientSide, EncryptedServerSide, Side, open_encrypted
from tests.fuzz.endpoints import Requests
from tests.fuzz.house import VARIANTS
from tests.fuzz.mutation import mutate, split_stream
from tests.fuzz.parsers import Parsers
from tests.fuzz.server import Responder
from tests.fuzz.sessions import STARTS, WORK, Session, list_sessions
from tests.fuzz.world import World

HEADER = 3  # bytes of an input that are not said
CURIOUS = 5  # of VARIANTS: asks its servers most
SERVER_METHODS = ("trust", "password", "md5", "scram-sha-256")


class Target(Protocol):
    """`seeds` are good inputs; `run` raises for what must not be."""

    seeds: Sequence[bytes]

    def run(self, data: bytes) -> None: ...
    def mutate(self, data: bytes, random: Random) -> bytes: ...


class ClientSide:
    """The input is what a client says, from its first byte on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.methods = ("trust", "password", "md5", "scram-sha-256")
        self.seeds = [
            bytes([self.methods.index(session.auth_type), 0, 0]) + b"".join(session.steps)
            for session in list_sessions(world)
        ]

    def run(self, data: bytes) -> None:
        world, header, said = self.world, data[:HEADER].ljust(HEADER, b"\0"), data[HEADER:]
        world.make_server = lambda: Responder().answer
        world.run(
            {"auth.type": self.methods[header[0] % 4], **VARIANTS[header[0] // 4 % len(VARIANTS)]},
            self.steps(said, header[2]),
            header[1],
        )

    def steps(self, said: bytes, way: int) -> list[bytes]:
        """All at once, or message by message."""
        return [said] if way % 2 else split_stream(said, opening=True)

    def mutate(self, data: bytes, random: Random) -> bytes:
        data = data.ljust(HEADER, b"\0")
        header = bytes(
            [
                data[0] % 4 + 4 * random.randrange(len(VARIANTS)),
                random.randrange(256),
                random.randrange(2),
            ]
        )
        return header + mutate(
            data[HEADER:], random, opening=True, others=[seed[HEADER:] for seed in self.seeds]
        )


class ServerSide:
    """The input is what a server says to all that it is asked on one connection; its client is a good one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions = [
            Session(method, [STARTS.get(name, STARTS["plain"]), *work])
            for number, (name, work) in enumerate(WORK.items())
            for method in (SERVER_METHODS if not number else SERVER_METHODS[number % 4 : number % 4 + 1])
            if name != "console"
        ]
        self.seeds = [
            bytes([number, 0, 6 * which]) + self.record(session, VARIANTS[which])
            for number, session in enumerate(self.sessions)
            for which in (0, CURIOUS)
        ]

    def record(self, session: Session, variant: Mapping[str, object]) -> bytes:
        heard: list[bytes] = []

        def make_server() -> Callable[[bytes], bytes]:
            answer = Responder(session.auth_type).answer

            def note(data: bytes) -> bytes:
                said = answer(data)
                heard.append(said)
                return said

            return note if not heard else Responder(session.auth_type).answer

        self.world.make_server = make_server
        self.world.run({"auth.type": "trust", **variant}, session.steps, 0)
        return b"".join(heard)

    def run(self, data: bytes) -> None:
        world, header = self.world, data[:HEADER].ljust(HEADER, b"\0")
        session = self.sessions[header[0] % len(self.sessions)]
        turns = list_turns(data[HEADER:]) if header[2] % 2 else [data[HEADER:]]
        bad = header[2] // 2 % 3  # which of its connections
        opened = 0

        def make_server() -> Callable[[bytes], bytes]:
            nonlocal opened
            opened += 1
            if opened == bad + 1:
                return lambda _: turns.pop(0) if turns else b""
            return Responder(session.auth_type).answer

        def say_rest() -> None:
            for line in world.lines[bad : bad + 1]:
                for turn in turns:
                    line.say(turn)
                turns.clear()

        world.make_server = make_server
        world.run(
            {"auth.type": "trust", **VARIANTS[header[2] // 6 % len(VARIANTS)]},
            session.steps,
            header[1],
            more=say_rest,
        )

    def mutate(self, data: bytes, random: Random) -> bytes:
        data = data.ljust(HEADER, b"\0")
        header = bytes(
            [
                data[0],
                random.randrange(256),
                data[2] if random.random() < 0.5 else random.randrange(6 * len(VARIANTS)),
            ]
        )
        return header + mutate(
            data[HEADER:], random, opening=False, others=[seed[HEADER:] for seed in self.seeds]
        )


def list_turns(data: bytes) -> list[bytes]:
    """What a server says before it waits: up to ReadyForQuery, a demand for a password, or CopyInResponse."""
    turns, turn = [], b""
    for message in split_stream(data, opening=False):
        turn += message
        if message[:1] in (b"Z", b"G") or (
            message[:1] == b"R" and message[5:9] not in (b"\0\0\0\0", b"\0\0\0\x0c")
        ):
            turns.append(turn)
            turn = b""
    return [*turns, turn] if turn else turns


@contextmanager
def open_target(name: str) -> Iterator[Target]:
    if name == "parsers":
        yield Parsers()
        return
    world = World()
    try:
        with world.prepared(), ExitStack() as stack:
            if name == "http":
                requests = Requests(world)
                stack.enter_context(requests.started())
                yield requests
            elif name in ENCRYPTED:
                yield stack.enter_context(open_encrypted(ENCRYPTED[name], world))
            else:
                yield SIDES[name](world)
    finally:
        world.close()


SIDES: Mapping[str, Callable[[World], Target]] = MappingProxyType(
    {"client": ClientSide, "server": ServerSide}
)
ENCRYPTED: Mapping[str, Side] = MappingProxyType({
    "tls-client": EncryptedClientSide,
    "tls-server": EncryptedServerSide,
})  # fmt: skip
TARGETS = ("parsers", *SIDES, *ENCRYPTED, "http")
