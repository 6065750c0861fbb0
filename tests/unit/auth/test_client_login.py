import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.auth import md5, scram
from dbproxy.auth.client_login import Authenticator, Challenge, ClientLogin, Done, choose_method, find_usual
from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.server_login import ServerLogin
from dbproxy.auth.users import Secret, Users
from dbproxy.errors import InvalidPassword, ProtocolViolation
from tests.unit.auth.conversation import Conversation

PLAIN = Secret("plain", "secret")
MD5 = Secret("md5", md5.make_md5_secret("app", "secret"))
SCRAM = Secret(
    "scram-sha-256",
    "SCRAM-SHA-256$4096:eXn1ss6yP4jsS7cr+SrRLg==$C5q+pqPPo65EW260dkilJVGFY+0Kb5qXICpz0blsBGM="
    ":yNLyr309eEwP8dNCmUYQrgGKUt8vsiMoGLWK2Jf/gc0=",
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def asking(password: str, user: str = "app") -> ServerLogin:
    return ServerLogin(user, "the proxy", Secret("plain", password), KeyCache())


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(KeyCache())


@pytest.mark.parametrize(
    ("auth_type", "secret", "method"),
    [
        ("trust", SCRAM, "trust"),
        ("md5", PLAIN, "md5"),
        ("md5", MD5, "md5"),
        ("md5", SCRAM, "scram-sha-256"),
        ("md5", None, "md5"),
        ("password", SCRAM, "password"),
        ("password", None, "password"),
        ("scram-sha-256", PLAIN, "scram-sha-256"),
        ("scram-sha-256", MD5, "scram-sha-256"),
        ("scram-sha-256", SCRAM, "scram-sha-256"),
        ("scram-sha-256", None, "scram-sha-256"),
    ],
)
def test_method_is_chosen_by_type_and_secret(auth_type, secret, method) -> None:  # type: ignore[no-untyped-def]
    assert choose_method(auth_type, secret) == method


@pytest.mark.parametrize(
    ("auth_type", "secret", "heard"),
    [
        ("trust", None, [0]),
        ("password", PLAIN, [3, 0]),
        ("password", MD5, [3, 0]),
        ("password", SCRAM, [3, 0]),
        ("md5", PLAIN, [5, 0]),
        ("md5", MD5, [5, 0]),
        ("md5", SCRAM, [10, 11, 12, 0]),
        ("scram-sha-256", PLAIN, [10, 11, 12, 0]),
        ("scram-sha-256", SCRAM, [10, 11, 12, 0]),
    ],
)
def test_right_password_logs_in(authenticator, auth_type, secret, heard) -> None:  # type: ignore[no-untyped-def]
    login = asking("secret")
    conversation = Conversation().play(authenticator.begin(auth_type, "app", secret), login)
    assert conversation.heard == heard
    assert login.done


@pytest.mark.parametrize(
    ("auth_type", "secret"),
    [
        ("password", PLAIN),
        ("password", MD5),
        ("password", SCRAM),
        ("password", None),
        ("md5", PLAIN),
        ("md5", MD5),
        ("md5", SCRAM),
        ("md5", None),
        ("scram-sha-256", PLAIN),
        ("scram-sha-256", SCRAM),
        ("scram-sha-256", MD5),
        ("scram-sha-256", None),
    ],
)
def test_wrong_password_is_refused_in_postgresqls_words(authenticator, auth_type, secret) -> None:  # type: ignore[no-untyped-def]
    conversation = Conversation()
    with pytest.raises(InvalidPassword) as caught:
        conversation.play(authenticator.begin(auth_type, "app", secret), asking("wrong"))
    assert conversation.done is None
    assert caught.value.message == 'password authentication failed for user "app"'
    assert not caught.value.detail
    assert not caught.value.hint


@given(TEXT, TEXT, TEXT, st.sampled_from(["md5", "scram-sha-256"]))
def test_only_the_right_password_logs_in(user: str, password: str, typed: str, auth_type: str) -> None:
    login = Authenticator(KeyCache()).begin(auth_type, user, Secret("plain", password))  # type: ignore[arg-type]
    same = password == typed if auth_type == "md5" else scram.saslprep(password) == scram.saslprep(typed)
    if same:
        assert Conversation().play(login, asking(typed, user)).done
    else:
        with pytest.raises(InvalidPassword):
            Conversation().play(login, asking(typed, user))


@pytest.mark.parametrize("secret", [None, PLAIN, SCRAM, MD5])
def test_nobody_can_tell_an_unknown_user_by_the_steps(
    authenticator: Authenticator, secret: Secret | None
) -> None:
    """Not even at the first login: no step of it is slow on our side."""
    if secret is not None:
        authenticator.prepare("app", secret)
    conversation = Conversation()
    with pytest.raises(InvalidPassword):
        conversation.play(authenticator.begin("scram-sha-256", "app", secret), asking("wrong"))
    assert conversation.slow == ["asking"]
    assert conversation.heard == [10, 11]


def test_keys_that_are_not_derived_yet_are_derived_beside_the_event_loop(
    authenticator: Authenticator,
) -> None:
    for slow in (["checking", "asking"], ["asking"]):
        conversation = Conversation().play(
            authenticator.begin("scram-sha-256", "app", PLAIN), asking("secret")
        )
        assert conversation.slow == slow


def challenge_for(authenticator: Authenticator, user: str, secret: Secret | None) -> bytes:
    login = authenticator.begin("scram-sha-256", user, secret)
    login.start()
    step = login.receive(initial(b"n,,n=,r=abc"))
    if isinstance(step, Work):
        step = step.run()
    assert isinstance(step, Challenge)
    return step.payload.split(b",", 1)[1]  # salt and iterations


def test_salt_of_an_unknown_user_stays_the_same_and_is_nobody_elses(authenticator: Authenticator) -> None:
    salt = challenge_for(authenticator, "nobody", None)
    assert challenge_for(authenticator, "nobody", None) == salt
    assert challenge_for(authenticator, "nobody else", None) != salt
    assert challenge_for(Authenticator(KeyCache()), "nobody", None) != salt
    assert challenge_for(authenticator, "nobody", PLAIN) == salt  # a user that is made looks as before
    encoded, iterations = salt.removeprefix(b"s=").split(b",")
    assert len(base64.b64decode(encoded)) == 16
    assert iterations == b"i=4096"


def test_changed_password_counts_at_once(authenticator: Authenticator) -> None:
    assert Conversation().play(authenticator.begin("scram-sha-256", "app", PLAIN), asking("secret")).done
    changed = Secret("plain", "changed")
    with pytest.raises(InvalidPassword):
        Conversation().play(authenticator.begin("scram-sha-256", "app", changed), asking("secret"))
    assert Conversation().play(authenticator.begin("scram-sha-256", "app", changed), asking("changed")).done


def test_client_may_send_its_first_message_later(authenticator: Authenticator) -> None:
    login = authenticator.begin("scram-sha-256", "app", PLAIN)
    login.start()
    assert login.receive(b"SCRAM-SHA-256\0\xff\xff\xff\xff") == Challenge(11, b"")
    assert isinstance(login.receive(b"n,,n=,r=abc"), Work)


def initial(message: bytes, mechanism: bytes = b"SCRAM-SHA-256") -> bytes:
    return mechanism + b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"SCRAM-SHA-256",
        b"SCRAM-SHA-256\0\0\0",
        b"SCRAM-SHA-256\0\0\0\0\x05n,,",
        b"SCRAM-SHA-256\0\xff\xff\xff\xfe",
        initial(b"n,,n=,r=abc") + b"x",
        initial(b"n,,n=,r=abc", b"SCRAM-SHA-256-PLUS"),
        initial(b"n,,n=,r=abc", b"PLAIN"),
        initial(b""),
        b"secret\0",
    ],
)
def test_malformed_answer_is_refused_before_anything_is_derived(
    authenticator: Authenticator, payload: bytes
) -> None:
    login = authenticator.begin("scram-sha-256", "app", PLAIN)
    login.start()
    with pytest.raises(ProtocolViolation):  # and not Work that would raise it
        login.receive(payload)


@pytest.mark.parametrize("payload", [b"", b"md5", b"a\0b\0", b"\0\0"])
def test_malformed_password_message_is_refused(authenticator: Authenticator, payload: bytes) -> None:
    login = authenticator.begin("md5", "app", PLAIN)
    login.start()
    with pytest.raises(ProtocolViolation):
        login.receive(payload)


def test_md5_answer_is_no_good_on_another_connection(authenticator: Authenticator) -> None:
    first, second = (authenticator.begin("md5", "app", PLAIN) for _ in range(2))
    challenge = first.start()
    assert isinstance(challenge, Challenge)
    assert second.start() != challenge
    answer = md5.answer_challenge(MD5.value, challenge.payload).encode() + b"\0"
    assert first.receive(answer) == Done()
    with pytest.raises(InvalidPassword):
        second.receive(answer)


def test_trusted_client_has_nothing_to_answer(authenticator: Authenticator) -> None:
    login = authenticator.begin("trust", "app", None)
    assert login.start() == Done()
    with pytest.raises(ProtocolViolation):
        login.receive(b"secret\0")


def test_nothing_shows_a_secret(authenticator: Authenticator) -> None:
    login: ClientLogin = authenticator.begin("scram-sha-256", "app", Secret("plain", "hunter2"))
    conversation = Conversation().play(login, asking("hunter2"))
    assert "hunter2" not in repr((authenticator, login, conversation))
    assert "key" not in repr(conversation.done)


@pytest.mark.parametrize("secret", [None, PLAIN, SCRAM, MD5])
def test_password_takes_as_long_whoever_the_user_is(authenticator, secret, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    derived = []
    real = scram.derive_keys
    monkeypatch.setattr(scram, "derive_keys", lambda *given: derived.append(given[2]) or real(*given))
    step = authenticator.begin("password", "app", secret).receive(b"wrong\0")
    with pytest.raises(InvalidPassword):
        step.run()
    assert derived == [scram.ITERATIONS]


def test_verifier_with_iterations_for_minutes_lets_nobody_in_and_holds_up_nobody(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may set it as its own: PostgreSQL takes any number."""
    derived = []
    real = scram.derive_keys
    monkeypatch.setattr(scram, "derive_keys", lambda *given: derived.append(given[2]) or real(*given))
    slow = Secret("scram-sha-256", SCRAM.value.replace("$4096:", "$2000000000:"))
    for said in (b"secret", slow.value.encode()):
        step = authenticator.begin("password", "app", slow).receive(said + b"\0")
        assert isinstance(step, Work)
        with pytest.raises(InvalidPassword):
            step.run()
    assert derived == [scram.ITERATIONS] * 2


def test_password_opens_every_server(authenticator: Authenticator) -> None:
    step = authenticator.begin("password", "app", SCRAM).receive(b"secret\0")
    assert isinstance(step, Work)
    assert step.run() == Done(keys=PLAIN)


@pytest.mark.parametrize("payload", [b"", b"secret", b"se\0cret\0"])
def test_password_has_to_end_where_its_message_ends(authenticator: Authenticator, payload: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="invalid password packet size"):
        authenticator.begin("password", "app", PLAIN).receive(payload)


def test_empty_password_is_refused_though_the_user_has_it(authenticator: Authenticator) -> None:
    with pytest.raises(InvalidPassword, match="empty password"):
        authenticator.begin("password", "app", Secret("plain", "")).receive(b"\0")


def test_unknown_user_is_asked_as_most_known_ones_are_under_md5(authenticator: Authenticator) -> None:
    assert find_usual(Users({"a": SCRAM, "b": SCRAM, "c": PLAIN})) == "scram-sha-256"
    assert find_usual(Users({"a": SCRAM, "b": MD5, "c": PLAIN})) == "md5"
    authenticator.usual = "scram-sha-256"
    assert (
        authenticator.begin("md5", "nobody", None).start() == authenticator.begin("md5", "a", SCRAM).start()
    )
