"""The rule for a client, and that rule's method; real exchanges are in tests/integration/test_admission.py."""

import os
import pwd
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dbproxy.auth import hba, ident
from dbproxy.auth.access import Access
from dbproxy.auth.client_login import Authenticator, AuthType
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.lines import Source
from dbproxy.auth.query import UNKNOWN, Answer
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Secret, Users
from dbproxy.errors import InvalidAuthorization, InvalidPassword, ProxyError
from dbproxy.net.peer import Peer
from dbproxy.session.admission import admit
from dbproxy.session.identity import Identity
from dbproxy.wire import build
from dbproxy.wire.codes import Authentication
from tests.support import speech

SHOWN = Peer(encrypted=True, verified=True, common_name="app", dn="CN=app,O=shop")
PLAIN = Secret("plain", "hers")
NOBODY = Peer()


def make_who(user: str = "app", peer: Peer = NOBODY, *, unix: bool = False) -> Identity:
    """From another machine, or by a Unix socket."""
    address, port = ("unix", 0) if unix else ("10.0.0.1", 5000)
    identity = Identity(1, 0.0, 0.0, 1024, address=address, port=port, user=user, database="shop")
    identity.peer = peer
    return identity


WHO = make_who()


def source(*lines: str) -> Source:
    return Source("f", Path(), "\n".join(lines))


@dataclass
class Inbox:
    """A client's answers."""

    data: bytes = b""

    async def read(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        assert len(taken) == size
        return taken


@dataclass
class Desk:
    """Knows `app`; counts what is asked of it."""

    access: Access = field(default_factory=lambda: Access(Users({"app": PLAIN})))
    authenticator: Authenticator = field(default_factory=lambda: Authenticator(KeyCache()))
    answer: Answer = field(default_factory=lambda: Answer(None, UNKNOWN))
    roles: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    learned: list[Keys | Secret] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    usual: AuthType = "md5"

    def find_usual(self, database: str) -> AuthType:
        return self.usual

    def find_known(self, database: str, user: str) -> Secret | None:
        return self.access.users.get(user)

    async def find_secret(self, database: str, user: str) -> Answer:
        self.asked.append(f"secret {database} {user}")
        return self.answer

    async def find_roles(self, database: str, user: str) -> frozenset[str]:
        self.asked.append(f"roles {database} {user}")
        return self.roles

    async def find_host_name(self, address: str) -> str:
        self.asked.append(f"name {address}")
        return "web.example"

    def learn(self, database: str, user: str, shown: Keys | Secret) -> None:
        self.learned.append(shown)

    def doubt(self, database: str, user: str) -> None:
        self.doubted.append(user)


def ruled(*lines: str, maps: tuple[str, ...] = (), **more: object) -> Desk:
    users = Users({"app": PLAIN})
    return Desk(
        Access(users, "reject", hba.parse_rules(source(*lines)), ident.parse_maps(source(*maps))), **more
    )  # type: ignore[arg-type]


async def let_in(
    desk: Desk, who: Identity = WHO, said: str = "", *, replication: bool = False
) -> list[bytes]:
    """What it is asked for; it answers a question with what it said."""
    sent: list[bytes] = []
    inbox = Inbox(build.authentication_response(said.encode() + b"\0"))
    await admit(desk, who, inbox, sent.append, replication=replication)  # type: ignore[arg-type]
    return speech.split(b"".join(sent))


async def refusal(
    desk: Desk, who: Identity = WHO, said: str = "", *, replication: bool = False
) -> ProxyError:
    with pytest.raises((InvalidAuthorization, InvalidPassword)) as caught:
        await let_in(desk, who, said, replication=replication)
    return caught.value


async def test_first_line_decides_and_nothing_is_asked_for_that_none_needs() -> None:
    desk = ruled("host all app all trust", "host all +staff web.example reject")
    assert await let_in(desk) == []
    assert desk.asked == []


async def test_name_and_roles_are_asked_for_once() -> None:
    desk = ruled("host all +x .nowhere reject", "host all +staff .example trust", roles=frozenset({"staff"}))
    assert await let_in(desk) == []
    assert desk.asked == ["name 10.0.0.1", "roles shop app"]


async def test_no_line_and_a_line_that_rejects() -> None:
    assert (await refusal(ruled("local all all trust"))).message.startswith("no pg_hba.conf entry for host")
    error = await refusal(ruled("host all all all reject"))
    assert error.message.startswith("pg_hba.conf rejects connection")
    assert error.detail_log == "decided by f:1"


async def test_physical_replication_needs_a_line_of_its_own() -> None:
    desk = ruled("host all all all trust")
    assert "replication connection" in (await refusal(desk, replication=True)).message
    assert await let_in(ruled("host replication all all trust"), replication=True) == []


async def test_password_on_a_plain_line_is_not_even_asked_for() -> None:
    desk = ruled("host all all all password")
    assert "needs an encrypted connection" in (await refusal(desk, said="hers")).message
    asked = await let_in(desk, make_who(peer=Peer(encrypted=True)), "hers")
    assert asked == [build.authentication(Authentication.CLEARTEXT_PASSWORD)]
    allowed = replace(desk.access, allow_cleartext=True)
    assert await let_in(Desk(allowed), said="hers") == asked
    assert desk.learned == [PLAIN]


async def test_unknown_user_and_wrong_password_differ_for_our_log_alone() -> None:
    desk = Desk(Access(Users({"app": PLAIN}), "password", allow_cleartext=True))
    wrong = await refusal(desk, said="wrong")
    unknown = await refusal(desk, make_who(user="nobody"), "wrong")
    assert wrong.message == unknown.message.replace("nobody", "app")
    assert (wrong.sqlstate, wrong.detail, wrong.hint) == (unknown.sqlstate, unknown.detail, unknown.hint)
    assert wrong.detail_log == "the password is wrong; decided by auth.type"
    assert unknown.detail_log == "there is no such user; decided by auth.type"
    assert desk.doubted == ["app", "nobody"]
    assert desk.asked == ["secret shop nobody"]


async def test_verifier_that_takes_too_long_is_told_in_our_log() -> None:
    verifier = f"SCRAM-SHA-256$2000000000:c2FsdA==${'A' * 43}=:{'A' * 43}="
    desk = Desk(Access(Users({"app": Secret.stored(verifier)}), "password", allow_cleartext=True))
    error = await refusal(desk, said="any")
    assert error.detail_log.startswith("its SCRAM verifier takes more than 1000000 iterations")


async def test_what_was_looked_up_is_kept_for_the_server() -> None:
    md5 = Desk(Access(Users(), "trust"), answer=Answer(PLAIN))
    await let_in(md5)
    assert md5.learned == []  # nobody has shown anything
    asked = Desk(Access(Users(), "password", allow_cleartext=True), answer=Answer(PLAIN))
    await let_in(asked, said="hers")
    assert asked.learned == [PLAIN]


async def test_certificate_is_demanded_verified_and_in_the_users_name() -> None:
    desk = ruled("hostssl all all all cert")
    assert (
        "requires a valid client certificate"
        in (await refusal(desk, make_who(peer=Peer(encrypted=True)))).message
    )
    assert await let_in(desk, make_who(peer=SHOWN)) == []
    error = await refusal(desk, make_who(user="other", peer=SHOWN))
    assert error.message == 'certificate authentication failed for user "other"'
    assert 'authenticated as "app"' in error.detail_log


async def test_certificate_may_be_known_by_its_whole_name_and_a_map() -> None:
    maps = (r'm "/^CN=app,O=(.*)$" \1',)
    desk = ruled("hostssl all all all cert map=m clientname=DN", maps=maps)
    assert await let_in(desk, make_who(user="shop", peer=SHOWN)) == []
    assert await refusal(desk, make_who(peer=SHOWN))


async def test_certificate_beside_a_password_is_asked_for_as_the_line_says() -> None:
    other = replace(SHOWN, common_name="other")
    plain = Peer(encrypted=True)
    only_verified = ruled("hostssl all all all password clientcert=verify-ca")
    assert await let_in(only_verified, make_who(peer=other), "hers")
    assert await refusal(only_verified, make_who(peer=plain), "hers")
    full = ruled("hostssl all all all password clientcert=verify-full")
    assert await let_in(full, make_who(peer=SHOWN), "hers")
    assert await refusal(full, make_who(peer=other), "hers")
    assert await refusal(full, make_who(peer=SHOWN), "wrong")


async def test_peer_is_who_the_kernel_says() -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    here = Peer(unix_uid=os.getuid())
    mine = make_who(me, here, unix=True)
    assert await let_in(ruled("local all all peer"), mine) == []
    error = await refusal(ruled("local all all peer"), make_who("app", here, unix=True))
    assert error.message == 'Peer authentication failed for user "app"'
    assert await refusal(ruled("local all all peer"), make_who(me, Peer(unix_uid=2**31 - 3), unix=True))
    assert await refusal(Desk(Access(Users(), "peer")), make_who())  # no Unix socket


async def test_map_with_a_role_asks_for_roles() -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    desk = ruled("local all all peer map=m", maps=(f"m {me} +staff",), roles=frozenset({"staff"}))
    assert await let_in(desk, make_who(unix=True, peer=Peer(unix_uid=os.getuid()))) == []
    assert desk.asked == ["roles shop app"]
