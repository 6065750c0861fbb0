import base64
from dataclasses import replace

import pytest

from dbproxy.auth import md5
from dbproxy.auth.client_login import Authenticator, ScramLogin
from dbproxy.auth.exchange import KeyCache, Request, Work
from dbproxy.auth.scram import Keys, derive_keys
from dbproxy.auth.server_login import Answer, Credentials, Line, ServerLogin
from dbproxy.auth.users import Secret
from dbproxy.errors import ConfigurationError, InvalidAuthorization, ProtocolViolation, ServerRefused
from tests.unit.auth.conversation import Conversation

PLAIN = Secret("plain", "secret")
MD5 = Secret("md5", md5.make_md5_secret("app", "secret"))
KEYS = derive_keys("secret", b"0123456789abcdef", 4096)
VERIFIER = KEYS.verifier()
SCRAM = Secret(
    "scram-sha-256",
    "SCRAM-SHA-256$4096:{}${}:{}".format(
        *(
            base64.b64encode(part).decode()
            for part in (VERIFIER.salt, VERIFIER.stored_key, VERIFIER.server_key)
        )
    ),
)
MECHANISMS = b"SCRAM-SHA-256\0\0"
BOTH = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"


def server_login(credentials: Credentials, keys: KeyCache | None = None) -> ServerLogin:
    return ServerLogin("app", "db1:5432", credentials, keys or KeyCache())


def first(mechanism: str, message: bytes) -> bytes:
    """SASLInitialResponse, behind its length."""
    return mechanism.encode() + b"\0" + len(message).to_bytes(4, "big") + message


def test_trust_needs_nothing() -> None:
    login = server_login(None)
    assert login.receive(Request.OK, b"") is None
    assert login.done


def test_password_is_sent_where_the_server_asks_for_it() -> None:
    answer = server_login(PLAIN).receive(Request.CLEARTEXT_PASSWORD, b"")
    assert answer == Answer(b"secret\0")


@pytest.mark.parametrize("secret", [PLAIN, MD5])
def test_md5_is_answered_from_the_password_or_its_hash(secret: Secret) -> None:
    answer = server_login(secret).receive(Request.MD5_PASSWORD, b"salt")
    expected = md5.answer_challenge(MD5.value, b"salt")
    assert answer == Answer(expected.encode() + b"\0")


def test_scram_over_a_plain_line_is_not_bound() -> None:
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), nonce=b"abc")
    answer = login.receive(Request.SASL, MECHANISMS)
    assert answer == Answer(first("SCRAM-SHA-256", b"n,,n=,r=abc"))


def test_keys_for_a_server_are_derived_once() -> None:
    keys = KeyCache()
    for slow in (["asking"], []):
        checking = ScramLogin("app", lambda step: step(VERIFIER))
        conversation = Conversation().play(checking, server_login(PLAIN, keys))
        assert conversation.slow == slow
        assert conversation.heard == [10, 11, 12, 0]


def test_user_known_by_a_verifier_alone_passes_through() -> None:
    theirs = Authenticator(KeyCache()).begin("scram-sha-256", "app", SCRAM)
    shown = Conversation().play(theirs, server_login(PLAIN)).done
    assert shown is not None
    assert shown.keys == KEYS
    checking = ScramLogin("app", lambda step: step(VERIFIER))
    conversation = Conversation().play(checking, server_login(shown.keys))
    assert conversation.done
    assert conversation.slow == []


def test_keys_of_another_verifier_are_not_tried() -> None:
    other = derive_keys("secret", b"another salt", 4096).verifier()
    checking = ScramLogin("app", lambda step: step(other))
    with pytest.raises(ConfigurationError, match='db1:5432 stores another SCRAM verifier for user "app"'):
        Conversation().play(checking, server_login(KEYS))


@pytest.mark.parametrize(
    ("credentials", "code", "data", "says"),
    [
        (None, Request.CLEARTEXT_PASSWORD, b"", "password authentication, but no secret"),
        (None, Request.MD5_PASSWORD, b"salt", "md5 authentication, but no secret"),
        (None, Request.SASL, MECHANISMS, "scram-sha-256 authentication, but no secret"),
        (MD5, Request.SASL, MECHANISMS, "scram-sha-256 authentication, but only an md5 secret"),
        (MD5, Request.CLEARTEXT_PASSWORD, b"", "password authentication, but only an md5 secret"),
        (SCRAM, Request.SASL, MECHANISMS, "scram-sha-256 authentication, but only a SCRAM secret"),
        (SCRAM, Request.MD5_PASSWORD, b"salt", "md5 authentication, but only a SCRAM secret"),
        (KEYS, Request.MD5_PASSWORD, b"salt", "md5 authentication, but only the keys"),
        (PLAIN, 7, b"", r"method unknown to us \(7\)"),
        (PLAIN, Request.SASL, b"OAUTHBEARER\0\0", "no SASL mechanism that we know"),
    ],
)
def test_secret_that_is_no_answer_is_named(
    credentials: Credentials, code: int, data: bytes, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        server_login(credentials).receive(code, data)
    assert "db1:5432" in caught.value.message
    assert '"app"' in caught.value.message
    assert caught.value.hint


def proving(keys: KeyCache) -> ServerLogin:
    login = ServerLogin("app", "db1:5432", PLAIN, keys, nonce=b"abc")
    login.receive(Request.SASL, MECHANISMS)
    proof = login.receive(Request.SASL_CONTINUE, b"r=abcdef,s=c2FsdA==,i=1")
    assert isinstance(proof, Work)
    proof.run()
    return login


def test_server_that_does_not_know_the_password_is_refused() -> None:
    signature = base64.b64encode(b"x" * 32)
    with pytest.raises(ServerRefused, match="impostor"):
        proving(KeyCache()).receive(Request.SASL_FINAL, b"v=" + signature)


def test_server_that_accepts_without_showing_what_it_knows_is_refused() -> None:
    login = proving(KeyCache())
    with pytest.raises(ProtocolViolation, match="out of turn"):
        login.receive(Request.OK, b"")
    assert not login.done


@pytest.mark.parametrize("code", [Request.CLEARTEXT_PASSWORD, Request.MD5_PASSWORD, Request.SASL])
def test_server_that_asks_for_a_weaker_proof_halfway_gets_none(code: int) -> None:
    with pytest.raises(ProtocolViolation, match="out of turn"):
        proving(KeyCache()).receive(code, b"salt")


@pytest.mark.parametrize("code", [Request.SASL_CONTINUE, Request.SASL_FINAL])
def test_exchange_that_was_not_begun_is_refused(code: int) -> None:
    with pytest.raises(ProtocolViolation, match="out of turn"):
        server_login(PLAIN).receive(code, b"")


def test_request_after_the_end_is_refused() -> None:
    login = server_login(PLAIN)
    login.receive(Request.OK, b"")
    with pytest.raises(ProtocolViolation, match="out of turn"):
        login.receive(Request.CLEARTEXT_PASSWORD, b"")


def test_md5_salt_of_another_size_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        server_login(PLAIN).receive(Request.MD5_PASSWORD, b"sal")


@pytest.mark.parametrize("credentials", [PLAIN, MD5, SCRAM, KEYS])
def test_nothing_shows_a_secret(credentials: Secret | Keys) -> None:
    login = server_login(credentials)
    answer = server_login(PLAIN).receive(Request.CLEARTEXT_PASSWORD, b"")
    shown = repr((login, credentials, answer))
    assert "secret" not in shown
    assert MD5.value not in shown
    assert KEYS.client_key.hex() not in shown
    assert repr(KEYS.client_key) not in shown


# --- bound to the line ----------------------------------------------------------------------------------------

TLS = Line(encrypted=True, binding=b"hash of a certificate")


def first_answer(line: Line, mechanisms: bytes = BOTH) -> bytes:
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), nonce=b"abc", line=line)
    answer = login.receive(Request.SASL, mechanisms)
    assert isinstance(answer, Answer)
    return answer.payload


@pytest.mark.parametrize(
    ("line", "mechanisms", "mechanism", "header"),
    [
        (TLS, BOTH, "SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,"),
        (TLS, b"SCRAM-SHA-256-PLUS\0\0", "SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,"),
        (TLS, MECHANISMS, "SCRAM-SHA-256", b"y,,"),  # we could, it cannot
        (replace(TLS, binding=None), BOTH, "SCRAM-SHA-256", b"n,,"),  # a certificate without a hash
        (replace(TLS, channel_binding="disable"), BOTH, "SCRAM-SHA-256", b"n,,"),
        (replace(TLS, channel_binding="require"), BOTH, "SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,"),
        (Line(), MECHANISMS, "SCRAM-SHA-256", b"n,,"),
    ],
)
def test_a_login_is_bound_where_both_can_and_the_server_is_told_where_only_we_could(
    line: Line, mechanisms: bytes, mechanism: str, header: bytes
):
    assert first_answer(line, mechanisms) == first(mechanism, header + b"n=,r=abc")


def test_both_sides_of_ours_bind_a_login():
    checking = ScramLogin("app", lambda step: step(VERIFIER), binding=TLS.binding)
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), line=replace(TLS, channel_binding="require"))
    assert Conversation().play(checking, login).heard == [10, 11, 12, 0]


def test_a_login_that_was_passed_on_by_somebody_in_between_fails():
    checking = ScramLogin("app", lambda step: step(VERIFIER), binding=b"of the server")
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), line=replace(TLS, binding=b"of somebody"))
    with pytest.raises(InvalidAuthorization, match="channel binding check failed"):
        Conversation().play(checking, login)


def test_plus_over_a_plain_line_is_somebody_elses():
    with pytest.raises(ProtocolViolation, match="over a non-SSL connection"):
        first_answer(Line(), BOTH)


@pytest.mark.parametrize(
    ("line", "code", "data", "why"),
    [
        (TLS, Request.SASL, MECHANISMS, "does not offer SCRAM-SHA-256-PLUS"),
        (Line(), Request.SASL, MECHANISMS, "is not encrypted"),
        (TLS, Request.OK, b"", "asks for none"),
        (TLS, Request.CLEARTEXT_PASSWORD, b"", "asks for another method"),
        (TLS, Request.MD5_PASSWORD, b"salt", "asks for another method"),
    ],
)
def test_where_a_binding_is_required_nothing_less_is_done(line: Line, code: int, data: bytes, why: str):
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), line=replace(line, channel_binding="require"))
    with pytest.raises(ConfigurationError, match=f"channel binding is required, but db1:5432 {why}"):
        login.receive(code, data)


@pytest.mark.parametrize(("iterations", "made"), [(1_000_000, True), (1_000_001, False), (2**31 - 1, False)])
def test_server_cannot_keep_a_thread_busy_for_minutes(iterations: int, made: bool) -> None:
    login = ServerLogin("app", "db1:5432", PLAIN, KeyCache(), nonce=b"abc")
    login.receive(Request.SASL, MECHANISMS)
    challenge = b"r=abcdef,s=c2FsdA==,i=%d" % iterations
    if made:
        assert isinstance(login.receive(Request.SASL_CONTINUE, challenge), Work)
        return
    with pytest.raises(ConfigurationError, match="more than 1000000 are not made"):
        login.receive(Request.SASL_CONTINUE, challenge)
