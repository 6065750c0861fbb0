from contextlib import suppress

import pytest
from construct import ConstructError
from hypothesis import example, given
from hypothesis import strategies as st

from dbproxy.errors import InvalidAuthorization, InvalidParameterValue, ProtocolViolation, ProxyError
from dbproxy.wire import build, messages, startup
from dbproxy.wire.codes import Backend
from dbproxy.wire.messages import BACKEND
from dbproxy.wire.startup import CancelRequest, GSSENCRequest, SSLRequest, StartupMessage

V3 = b"\0\x03\0\0"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def login(minor: int = 0, **parameters: str) -> StartupMessage:
    message = startup.parse_startup(build.startup_message({"user": "u", **parameters}, minor)[4:])
    assert isinstance(message, StartupMessage)
    return message


def refusal(payload: bytes) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        startup.parse_startup(payload)
    assert caught.value.severity == "FATAL"
    return caught.value


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5), TEXT.filter(bool))
def test_parameters_are_those_that_were_sent(parameters: dict[str, str], user: str) -> None:
    sent = {**parameters, "user": user}
    message = startup.parse_startup(build.startup_message(sent)[4:])
    assert isinstance(message, StartupMessage)
    options = set(message.protocol_options)
    assert {**message.parameters, **{name: sent[name] for name in options}} == sent
    assert message.user == startup.cut_name(user)


def test_database_defaults_to_the_user() -> None:
    assert login().database == "u"
    assert login(database="").database == "u"
    assert login(database="d").database == "d"


def test_names_are_cut_as_postgresql_cuts_them() -> None:
    sent = StartupMessage(0, {"user": "u" * 70, "database": "d" + "\u00fc" * 40})
    assert sent.user == "u" * 63
    assert sent.database == "d" + "\u00fc" * 31
    half = StartupMessage(0, {"user": "\u00fc" * 40})
    assert half.database == half.user == "\u00fc" * 31 + "\udcc3"


def test_user_name_in_another_encoding_survives() -> None:
    message = startup.parse_startup(V3 + b"user\0\xe9\0\0")
    assert isinstance(message, StartupMessage)
    assert build.startup_message(message.parameters) == b"\0\0\0\x10" + V3 + b"user\0\xe9\0\0"


def test_encryption_requests_are_recognized() -> None:
    assert startup.parse_startup(build.ssl_request()[4:]) == SSLRequest()
    assert startup.parse_startup((80877104).to_bytes(4, "big")) == GSSENCRequest()


@pytest.mark.parametrize("size", [4, 32, 256])
def test_cancel_request_has_a_key_of_either_protocol(size: int) -> None:
    payload = build.cancel_request(2**31, b"k" * size)[4:]
    assert startup.parse_startup(payload) == CancelRequest(2**31, b"k" * size)


@pytest.mark.parametrize("size", [0, 257])
def test_cancel_request_without_a_possible_key_is_refused(size: int) -> None:
    error = refusal(build.cancel_request(1, b"k" * size)[4:])
    assert error.message == "invalid length of cancel key in cancel request packet"


@pytest.mark.parametrize(
    "header", [b"GET ", b"\x16\x03\x01\x02", b"\0\0\0\0", b"\0\0\0\x07", b"\xff\xff\xff\xff"]
)
def test_impossible_length_is_refused_before_anything_is_read(header: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="invalid length of startup packet"):
        startup.payload_length(header)


def test_length_limit_is_postgresqls() -> None:
    assert startup.payload_length((8).to_bytes(4, "big")) == 4
    assert startup.payload_length((10004).to_bytes(4, "big")) == 10000
    with pytest.raises(ProtocolViolation):
        startup.payload_length((10005).to_bytes(4, "big"))
    assert refusal(V3 + b"u" * 10000).message == "invalid length of startup packet"
    assert refusal(b"\0\x03").message == "invalid length of startup packet"


@pytest.mark.parametrize(
    "parameters",
    [b"", b"user\0u\0", b"user\0u", b"user\0", b"user\0u\0\0\0", b"user\0u\0\0x", b"user\0u\0database\0\0"],
)
def test_packet_without_its_terminator_is_refused(parameters: bytes) -> None:
    error = refusal(V3 + parameters)
    assert error.message == "invalid startup packet layout: expected terminator as last byte"
    assert error.sqlstate == "08P01"


@pytest.mark.parametrize("parameters", [b"\0", b"user\0\0\0", b"database\0d\0\0"])
def test_login_without_a_user_is_refused(parameters: bytes) -> None:
    error = refusal(V3 + parameters)
    assert isinstance(error, InvalidAuthorization)
    assert error.message == "no PostgreSQL user name specified in startup packet"
    assert error.sqlstate == "28000"


def test_other_major_versions_are_refused_in_postgresqls_words() -> None:
    error = refusal(b"\0\x02\0\0user\0u\0\0")
    assert error.sqlstate == "0A000"
    assert error.message == "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
    assert "4.7" in refusal(b"\0\x04\0\x07").message


def test_second_encryption_request_number_is_no_version() -> None:
    assert (
        "unsupported frontend protocol 1234.5681" in refusal((1234 << 16 | 5681).to_bytes(4, "big")).message
    )


def test_newer_minor_version_or_protocol_options_need_negotiation() -> None:
    assert not login().needs_negotiation
    assert login(minor=3).needs_negotiation
    assert login(minor=3).served_minor == 2
    assert not login(minor=2).needs_negotiation
    message = login(**{"_pq_.compression": "1", "_pq_.other": "", "application_name": "a"})
    assert message.needs_negotiation
    assert message.protocol_options == ("_pq_.compression", "_pq_.other")
    assert message.settings == {"application_name": "a"}


def test_parameters_win_over_options() -> None:
    message = login(options="-c search_path=a -c work_mem=1MB", search_path="b", replication="off")
    assert message.settings == {"search_path": "b", "work_mem": "1MB"}


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", {}),
        (" \t\n", {}),
        ("-c a=1", {"a": "1"}),
        ("-ca=1", {"a": "1"}),
        ("  -c\ta=1\n--b=2  ", {"a": "1", "b": "2"}),
        ("-c a=1 -c a=2", {"a": "2"}),
        ("-c a=", {"a": ""}),
        ("-c a=b=c", {"a": "b=c"}),
        ("--statement-timeout=5min", {"statement_timeout": "5min"}),
        (r"-c a=x\ y", {"a": "x y"}),
        (r"-c a=x\\y", {"a": r"x\y"}),
        ("-c a=\\\n", {"a": "\n"}),
        ("-c a=1\\", {"a": "1"}),
        (r"-\c a=1", {"a": "1"}),
        ("-c a=\u00a0b", {"a": "\u00a0b"}),  # a space for Python, none for PostgreSQL
    ],
)
def test_options_are_split_as_postgresql_splits_them(options: str, settings: dict[str, str]) -> None:
    assert startup.parse_options(options) == settings


@pytest.mark.parametrize("options", ["-c", "-d 5", "a=1", "--", "-", "-c a=1 b", "\\"])
def test_other_switches_are_refused(options: str) -> None:
    with pytest.raises(ProtocolViolation, match="invalid command-line argument") as caught:
        startup.parse_options(options)
    assert caught.value.sqlstate == "42601"


@pytest.mark.parametrize(("options", "words"), [("-c a", "-c a requires"), ("--a", "--a requires")])
def test_setting_without_a_value_is_refused(options: str, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words):
        startup.parse_options(options)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), TEXT))
def test_escaped_settings_come_back(settings: dict[str, str]) -> None:
    def escape(text: str) -> str:
        return "".join(f"\\{char}" if char in "\\ \t\n\v\f\r" else char for char in text)

    options = " ".join(f"-c {name}={escape(value)}" for name, value in settings.items())
    assert startup.parse_options(options) == settings


@given(st.binary(max_size=64))
@example(b"\xd2\x16\x2e\x04")
@example(V3 + b"user\0u\0\0")
def test_garbage_is_parsed_or_refused_and_nothing_else(payload: bytes) -> None:
    with suppress(ProxyError):
        startup.parse_startup(payload)


def test_what_a_server_answers_is_read() -> None:
    assert startup.parse_authentication(b"\0\0\0\x05salt") == (5, b"salt")
    assert startup.parse_parameter_status(b"TimeZone\0UTC\0") == ("TimeZone", "UTC")
    assert startup.parse_backend_key_data(b"\0\0\0\x01key.") == (1, b"key.")
    fields = startup.parse_error_response(b"SFATAL\0C28P01\0Mno\0\0")
    assert fields == {"S": "FATAL", "C": "28P01", "M": "no"}


@given(TEXT, TEXT)
def test_a_parameter_status_is_read_as_it_is_declared(name: str, value: str) -> None:
    message = build.parameter_status(name, value)
    declared = BACKEND[Backend.PARAMETER_STATUS].parse(message[5:])
    assert startup.parse_parameter_status(message[5:]) == (declared.name, declared.value) == (name, value)


@given(
    st.lists(st.sampled_from([b"S", b"ERROR", b"M\xff", b"\xc3\xbc", b""])).map(b"\0".join),
    st.sampled_from([b"", b"\0", b"\0\0"]),
)
@example(b"", b"\0")
def test_an_error_is_read_as_it_is_declared(fields: bytes, end: bytes) -> None:
    payload = fields + end
    try:
        declared = BACKEND[Backend.ERROR_RESPONSE].parse(payload).fields
    except ConstructError:
        with pytest.raises(ProtocolViolation, match="malformed"):
            startup.parse_error_response(payload)
    else:
        assert startup.parse_error_response(payload) == declared


def test_a_long_error_is_not_read_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the declaration is: that would take minutes, in which nobody is served."""
    monkeypatch.setattr(messages, "parse", None)
    text = "x" * 16_000_000
    assert startup.parse_error_response(b"SERROR\0M%b\0\0" % text.encode()) == {"S": "ERROR", "M": text}


@pytest.mark.parametrize(
    ("parse", "payload"),
    [
        (startup.parse_authentication, b"\0\0\0"),
        (startup.parse_parameter_status, b"a\0b"),
        (startup.parse_parameter_status, b"a\0b\0c"),
        (startup.parse_parameter_status, b"a\0b\0c\0"),
        (startup.parse_backend_key_data, b"\0\0\0\x01key"),
        (startup.parse_error_response, b"SFATAL\0"),
        (startup.parse_error_response, b"S\0"),
    ],
)
def test_malformed_answer_of_a_server_is_refused(parse, payload: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ProtocolViolation, match="malformed"):
        parse(payload)


@pytest.mark.parametrize(
    ("text", "mode"),
    [("database", "logical"), ("true", "physical"), ("on", "physical"), ("1", "physical"), ("y", "physical"),
     ("false", ""), ("OFF", ""), ("0", ""), ("n", "")],
)  # fmt: skip
def test_replication_is_read_as_postgresql_reads_it(text: str, mode: str) -> None:
    assert login(replication=text).replication == mode


@pytest.mark.parametrize("text", ["", "o", "maybe", "Database", "2"])
def test_replication_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterValue, match="replication"):
        _ = login(replication=text).replication


def test_server_of_its_own_is_told_all_that_was_sent_but_who_asks_and_for_what() -> None:
    sent = login(database="shop", replication="1", options="-c x=1", application_name="copy")
    assert sent.server_parameters() == {"replication": "1", "options": "-c x=1", "application_name": "copy"}


PACKETS = st.lists(st.sampled_from([b"user", b"u", b"\xff", b"", b"_pq_.x"])).map(b"\0".join)


@given(PACKETS, st.sampled_from([b"", b"\0", b"\0\0"]))
@example(b"", b"\0")
def test_parameters_are_those_of_the_declaration(texts: bytes, end: bytes) -> None:
    payload = b"\0\3\0\0" + texts + end
    try:
        declared = messages.StartupMessage.parse(payload).parameters
    except ConstructError:
        with pytest.raises(ProtocolViolation, match="expected terminator"):
            startup.parse_parameters(payload)
    else:
        assert startup.parse_parameters(payload) == declared
