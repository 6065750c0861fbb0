import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from dbproxy.errors import ConfigurationError
from dbproxy.net import tls
from dbproxy.net.tls import (
    ClientTls,
    Files,
    ServerTls,
    load_key,
    make_client_context,
    make_server_context,
    read_own,
)
from tests.support.certificates import Authority


@pytest.fixture(autouse=True)
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tls, "HOME", tmp_path / "home")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def towards(mode: str) -> ServerTls:
    return ServerTls(mode, "db.test", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


# --- what a mode means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "encrypted_first", "plain_at_all"),
    [
        ("disable", False, True),
        ("allow", False, True),
        ("prefer", True, True),
        ("require", True, False),
        ("verify-ca", True, False),
        ("verify-full", True, False),
    ],
)
def test_modes_towards_a_server(mode: str, encrypted_first: bool, plain_at_all: bool):
    assert towards(mode).begins_encrypted == encrypted_first
    assert towards(mode).may_be_plain == plain_at_all


def test_a_refused_login_is_tried_the_other_way_by_allow_and_prefer_alone():
    encrypted = towards("prefer").after_refusal(encrypted=True)
    assert encrypted is not None
    assert not encrypted.begins_encrypted
    plain = towards("allow").after_refusal(encrypted=False)
    assert plain is not None
    assert plain.begins_encrypted
    assert not plain.may_be_plain
    assert towards("prefer").after_refusal(encrypted=False) is None  # the server has no TLS
    for mode in ("require", "verify-ca", "verify-full"):
        assert towards(mode).after_refusal(encrypted=True) is None


def test_a_cancel_request_goes_as_the_line_did_that_it_is_about():
    assert not towards("prefer").as_before(encrypted=True).may_be_plain
    assert not towards("prefer").as_before(encrypted=False).begins_encrypted


@pytest.mark.parametrize(
    ("mode", "demanded"), [("allow", False), ("prefer", False), ("require", True), ("verify-full", True)]
)
def test_modes_of_clients(mode: str, demanded: bool):
    assert ClientTls(mode, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), None).is_demanded == demanded


# --- contexts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_a_server_is_verified_only_where_there_is_an_authority_to_go_by(
    authority: Authority, mode: str, no_home: Path
):
    assert make_server_context(Files(), mode).verify_mode == ssl.CERT_NONE
    assert make_server_context(Files(authorities=str(authority.path)), mode).verify_mode == ssl.CERT_REQUIRED
    (no_home / "root.crt").write_bytes(authority.path.read_bytes())
    assert make_server_context(Files(), mode).verify_mode == ssl.CERT_REQUIRED  # as libpq has it


def test_a_name_is_looked_for_in_verify_full_alone(authority: Authority):
    files = Files(authorities=str(authority.path))
    assert not make_server_context(files, "verify-ca").check_hostname
    assert make_server_context(files, "verify-full").check_hostname


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_to_verify_without_an_authority_is_a_mistake(mode: str):
    with pytest.raises(ConfigurationError, match="root certificate file") as raised:
        make_server_context(Files(), mode)
    assert "sslrootcert=system" in raised.value.hint


def test_the_systems_authorities_serve(monkeypatch: pytest.MonkeyPatch, authority: Authority):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = make_server_context(Files(authorities="system"), "verify-full")
    assert len(context.get_ca_certs()) >= 1


def test_clients_are_asked_for_a_certificate_where_there_is_an_authority(authority: Authority):
    own = authority.issue_server()
    files = Files(str(own.chain), str(own.key))
    assert make_client_context(files, "require").verify_mode == ssl.CERT_NONE
    trusting = Files(str(own.chain), str(own.key), str(authority.path))
    assert make_client_context(trusting, "require").verify_mode == ssl.CERT_OPTIONAL
    assert make_client_context(trusting, "verify-ca").verify_mode == ssl.CERT_REQUIRED
    assert make_client_context(trusting, "verify-full").verify_mode == ssl.CERT_REQUIRED


def test_nothing_older_than_tls_1_2_is_spoken_and_nobody_renegotiates(authority: Authority):
    own = authority.issue_server()
    for context in (
        make_client_context(Files(str(own.chain), str(own.key)), "require"),
        make_server_context(Files(), "require"),
        make_server_context(Files(oldest="TLSv1"), "require"),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
    newest = make_server_context(Files(oldest="TLSv1.2", newest="TLSv1.2"), "require")
    assert newest.maximum_version == ssl.TLSVersion.TLSv1_2


def test_a_certificate_of_ours_is_shown_to_servers_as_libpq_would(authority: Authority, no_home: Path):
    with pytest.raises(ConfigurationError, match="sslcertmode is require"):
        make_server_context(Files(), "require", "require")
    own = authority.issue_client("app")
    (no_home / "postgresql.crt").write_bytes(own.chain.read_bytes())
    with pytest.raises(ConfigurationError, match="cannot be used"):  # it has no key
        make_server_context(Files(), "require")
    make_server_context(Files(), "require", "disable")
    (no_home / "postgresql.key").write_bytes(own.key.read_bytes())
    make_server_context(Files(), "require", "require")


# --- files that do not serve ----------------------------------------------------------------------------------


def test_an_encrypted_key_is_refused_and_named(authority: Authority, tmp_path: Path):
    own = authority.issue_server()
    key = serialization.load_pem_private_key(own.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    with pytest.raises(ConfigurationError, match=r'private key ".*locked\.key" is encrypted') as raised:
        make_client_context(Files(str(own.chain), str(locked)), "require")
    assert "openssl pkey" in raised.value.hint


@pytest.mark.parametrize("broken", ["missing", "garbage", "another's", "no certificate"])
def test_a_file_that_does_not_serve_is_named(authority: Authority, tmp_path: Path, broken: str):
    own, other = authority.issue_server(), authority.issue_server()
    key = tmp_path / "broken.key"
    if broken == "garbage":
        key.write_text("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
    elif broken != "missing":
        key.write_bytes(other.key.read_bytes())
    chain = key if broken == "no certificate" else own.chain
    with pytest.raises(ConfigurationError, match=r"broken\.key") as raised:
        make_client_context(Files(str(chain), str(key)), "require")
    assert "hunter2" not in raised.value.message


def test_authorities_that_are_none_are_named(tmp_path: Path):
    empty = tmp_path / "empty.pem"
    with pytest.raises(ConfigurationError, match=r"empty\.pem"):
        make_server_context(Files(authorities=str(empty)), "verify-ca")
    empty.write_text("nobody")
    with pytest.raises(ConfigurationError, match=r"empty\.pem"):
        make_server_context(Files(authorities=str(empty)), "verify-ca")
    with pytest.raises(ConfigurationError, match=r"empty\.pem"):
        read_own(str(empty))


def test_key_that_is_no_pem_is_told_in_words(tmp_path: Path):
    (tmp_path / "own.key").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"cannot be used: PEM lib$"):
        load_key(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), str(tmp_path / "own.key"), "")


def test_ciphers_that_openssl_does_not_know_are_a_mistake():
    with pytest.raises(ConfigurationError, match="knows no cipher"):
        make_server_context(Files(ciphers="ROT13"), "require")
    make_server_context(Files(ciphers="ECDHE+AESGCM"), "require")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_may_not_be_read_is_named(authority: Authority):
    own = authority.issue_server()
    own.key.chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        make_client_context(Files(str(own.chain), str(own.key)), "require")


# --- revoked --------------------------------------------------------------------------------------------------


def shakes(one: ssl.SSLContext, other: ssl.SSLContext) -> str:
    """What a server's end and then a client's say of each other; "" if nothing."""
    to, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = one.wrap_bio(to, back, server_side=True)
    client = other.wrap_bio(back, to, server_hostname="db.test")
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return tls.say(error)
    return ""


@pytest.mark.parametrize("root", ["named", "system"])
def test_revoked_server_is_none(authority: Authority, monkeypatch: pytest.MonkeyPatch, root: str):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    good, bad = authority.issue_server(), authority.issue_server()
    roots = {"named": str(authority.path), "system": "system"}
    files = Files(authorities=roots[root], revoked=str(authority.revoke(bad)))
    context = make_server_context(files, "verify-full")
    for own, said in ((good, ""), (bad, "certificate verify failed: certificate revoked")):
        server = make_client_context(Files(str(own.chain), str(own.key)), "require")
        assert shakes(server, context) == said


def test_revoked_client_is_refused_in_the_handshake(authority: Authority):
    own, good, bad = authority.issue_server(), authority.issue_client("app"), authority.issue_client("app")
    trusted, revoked = str(authority.path), str(authority.revoke(bad))
    server = make_client_context(Files(str(own.chain), str(own.key), trusted, revoked), "verify-ca")
    for mine, said in ((good, ""), (bad, "certificate verify failed: certificate revoked")):
        files = Files(str(mine.chain), str(mine.key), trusted)
        assert shakes(server, make_server_context(files, "verify-full")) == said


def test_list_that_cannot_serve_is_named(authority: Authority, tmp_path: Path):
    trusted, missing = str(authority.path), str(tmp_path / "missing")
    for files, said in (
        (Files(authorities=trusted, revoked=trusted), "holds no revocation list in PEM"),
        (Files(authorities=trusted, revoked=missing), "revocation list .* cannot be read"),
        (Files(revoked=str(authority.revoke())), "is for nothing: there is no authority"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            make_server_context(files, "require")
