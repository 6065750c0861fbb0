"""RFC 7677's example, PostgreSQL's own verifiers, and our two sides against each other."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.auth import scram
from dbproxy.auth.scram import ClientSide, Keys, ServerSide, derive_keys, parse_client_first, parse_verifier
from dbproxy.errors import InvalidAuthorization, ProtocolViolation

# RFC 7677, section 3
PASSWORD = "pencil"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

# libpq's hash of "secret", as it stands in pg_authid.rolpassword
STORED = (
    "SCRAM-SHA-256$4096:eXn1ss6yP4jsS7cr+SrRLg==$C5q+pqPPo65EW260dkilJVGFY+0Kb5qXICpz0blsBGM="
    ":yNLyr309eEwP8dNCmUYQrgGKUt8vsiMoGLWK2Jf/gc0="
)
NONCE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1)
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def rfc_server() -> ServerSide:
    verifier = derive_keys(PASSWORD, SALT, 4096).verifier()
    return ServerSide(parse_client_first(CLIENT_FIRST), verifier, rb"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")


def test_server_side_speaks_the_rfcs_example() -> None:
    server = rfc_server()
    assert server.challenge() == SERVER_FIRST
    shown = server.check(CLIENT_FINAL)
    assert shown is not None
    assert shown == (SERVER_FINAL, derive_keys(PASSWORD, SALT, 4096))


def test_client_side_speaks_the_rfcs_example() -> None:
    client = ClientSide(b"rOprNGfwEbeRWgbNEkqO")
    client.bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO"  # ours has no name in it, as libpq's has none
    assert client.first() == CLIENT_FIRST
    assert client.receive_challenge(SERVER_FIRST) == (SALT, 4096)
    assert client.final(derive_keys(PASSWORD, SALT, 4096)) == CLIENT_FINAL
    assert client.verify(SERVER_FINAL)


def test_verifier_made_by_postgresql_is_understood() -> None:
    verifier = parse_verifier(STORED)
    assert verifier is not None
    assert derive_keys("secret", verifier.salt, verifier.iterations).verifier() == verifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        STORED + "=",
        STORED[:-2],
        STORED.replace("4096", "0"),
        STORED.replace("4096", "99999999999"),
        STORED.replace("4096", "4294967296"),
        STORED.replace("C5q+", "****"),
        STORED.replace("C5q+", ""),
        STORED.replace("eXn1ss6yP4jsS7cr+SrRLg==", "é"),
        STORED.replace("$C5q", ":C5q"),
    ],
)
def test_broken_verifier_is_none(text: str) -> None:
    assert parse_verifier(text) is None


@given(
    PASSWORDS, PASSWORDS, st.binary(min_size=1), st.integers(1, 5), NONCE, NONCE, st.sampled_from(["n", "y"])
)
def test_only_the_right_password_logs_in(
    password: str, typed: str, salt: bytes, iterations: int, client_nonce: str, server_nonce: str, header: str
) -> None:
    client = ClientSide(client_nonce.encode())
    verifier = derive_keys(password, salt, iterations).verifier()
    server = ServerSide(parse_client_first(client.first()), verifier, server_nonce.encode())
    keys = derive_keys(typed, *client.receive_challenge(server.challenge()))
    shown = server.check(client.final(keys))
    if keys.verifier() != verifier:
        assert shown is None
    else:
        assert shown is not None
        assert shown[1] == keys
        assert client.verify(shown[0])


def test_client_that_knows_of_channel_binding_may_log_in_without() -> None:
    keys = derive_keys("x", b"salt", 1)
    server = ServerSide(parse_client_first(b"y,,n=,r=abc"), keys.verifier(), b"def")
    without_proof = b"c=eSws,r=abcdef"
    transcript = b"n=,r=abc," + server.challenge() + b"," + without_proof
    proof = scram._xor(keys.client_key, scram._hmac(keys.verifier().stored_key, transcript))
    final = without_proof + b",p=" + base64.b64encode(proof)
    assert server.check(final) is not None
    with pytest.raises(ProtocolViolation):  # the header of the first message is part of what is proved
        server.check(final.replace(b"eSws", b"biws"))


def test_server_that_does_not_know_the_password_is_found_out() -> None:
    client = ClientSide(b"abc")
    client.receive_challenge(b"r=abcdef,s=c2FsdA==,i=1")
    client.final(derive_keys("x", b"salt", 1))
    impostor = derive_keys("y", b"salt", 1)
    signature = scram._hmac(impostor.server_key, b"anything")
    assert not client.verify(b"v=" + base64.b64encode(signature))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"x,,n=,r=abc",
        b"n,,n=,r=",
        b"n,,n=,r=a\x01c",
        b"n,,r=abc,n=",
        b"n,,m=ext,n=,r=abc",
        b"n,a=other,n=,r=abc",
        b"n,,n=,r=abc\0",
        b"n,,n=,r=abc,1=x",
        b"p=tls-server-end-point,,n=,r=abc",
    ],
)
def test_malformed_first_message_of_a_client_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="malformed SCRAM message"):
        parse_client_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        CLIENT_FINAL[:-1],
        CLIENT_FINAL + b",x=y",
        CLIENT_FINAL.replace(b"biws", b"eSws"),
        CLIENT_FINAL.replace(b"$k0", b"$k1"),
        CLIENT_FINAL.replace(b"dHzb", b""),
        CLIENT_FINAL.replace(b"dHzb", b"####"),
        CLIENT_FINAL.replace(b"dHzb", b"\xff\xff\xff\xff"),
        CLIENT_FINAL.replace(b",p=", b",q="),
    ],
)
def test_malformed_last_message_of_a_client_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="malformed SCRAM message"):
        rfc_server().check(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"e=other-error",
        b"r=abc,s=c2FsdA==,i=1",
        b"r=xyzdef,s=c2FsdA==,i=1",
        b"r=abcdef,s=,i=1",
        b"r=abcdef,s=####,i=1",
        b"r=abcdef,s=c2FsdA==,i=0",
        b"r=abcdef,s=c2FsdA==,i=2147483648",
        b"r=abcdef,s=c2FsdA==,i=-1",
        b"r=abcdef,s=c2FsdA==",
    ],
)
def test_malformed_challenge_of_a_server_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="malformed SCRAM message"):
        ClientSide(b"abc").receive_challenge(message)


def test_extensions_are_ignored() -> None:
    assert parse_client_first(b"n,,n=,r=abc,x=y,z=1")[3] == b"abc"
    assert ClientSide(b"abc").receive_challenge(b"r=abcdef,s=c2FsdA==,i=1,x=y") == (b"salt", 1)


def test_nonces_differ_and_fit_into_a_message() -> None:
    nonces = {scram.make_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(parse_client_first(b"n,,n=,r=" + nonce)[3] == nonce for nonce in nonces)


def test_nothing_shows_a_key() -> None:
    keys = derive_keys("secret", b"saltsalt", 1)
    assert repr(keys) == "Keys(iterations=1)"
    assert repr(keys.verifier()) == "Verifier(iterations=1)"


# --- bound to the line ----------------------------------------------------------------------------------------

BINDING = b"hash of a certificate"
BOUND_FIRST = b"p=tls-server-end-point,,n=,r=abc"


def bound_login(client_binding: bytes, server_binding: bytes = BINDING) -> tuple[bytes, Keys] | None:
    keys = derive_keys("secret", b"0123456789abcdef", 4096)
    client = ClientSide(b"abc", scram.BOUND, client_binding)
    match = scram.parse_client_first(client.first(), bound=True, offered=True)
    server = ServerSide(match, keys.verifier(), b"def", server_binding)
    client.receive_challenge(server.challenge())
    return server.check(client.final(keys))


def test_a_login_that_is_bound_to_the_same_line_is_good():
    assert bound_login(BINDING) is not None


def test_a_login_that_is_bound_to_another_line_was_passed_on():
    with pytest.raises(InvalidAuthorization, match="SCRAM channel binding check failed"):
        bound_login(b"hash of the certificate of who sits in between")


@pytest.mark.parametrize(
    ("message", "bound", "offered", "detail"),
    [
        (BOUND_FIRST, False, True, "selected SCRAM-SHA-256 without channel binding"),
        (BOUND_FIRST, False, False, "selected SCRAM-SHA-256 without channel binding"),
        (b"n,,n=,r=abc", True, True, "does not include channel binding data"),
        (b"y,,n=,r=abc", True, True, "does not include channel binding data"),
    ],
)
def test_what_is_said_of_the_binding_has_to_fit_the_mechanism(message, bound, offered, detail):
    with pytest.raises(ProtocolViolation, match="malformed SCRAM message") as raised:
        scram.parse_client_first(message, bound=bound, offered=offered)
    assert detail in raised.value.detail


def test_who_was_made_to_believe_that_there_is_no_binding_is_refused():
    with pytest.raises(InvalidAuthorization, match="SCRAM channel binding negotiation error"):
        scram.parse_client_first(b"y,,n=,r=abc", offered=True)
    assert scram.parse_client_first(b"y,,n=,r=abc")  # there is none, and the client could
    assert scram.parse_client_first(b"n,,n=,r=abc", offered=True)  # the client cannot


def test_another_kind_of_binding_is_refused():
    with pytest.raises(ProtocolViolation, match="unsupported SCRAM channel-binding type"):
        scram.parse_client_first(b"p=tls-unique,,n=,r=abc", bound=True, offered=True)
