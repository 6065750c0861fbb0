from pathlib import Path

import pytest

from dbproxy.app.encryption import Encryption
from dbproxy.config import Host, Settings, load
from dbproxy.config.url import parse_url
from dbproxy.errors import ConfigurationError
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def settings(query: str = "", **keys: object) -> Settings:
    url = {"DATABASE_URL": f"postgresql://app:pw@db.test/shop?{query}"}
    return load(None, url, {key.replace("__", "."): str(value) for key, value in keys.items()})


def host(query: str = "", name: str = "db.test") -> Host:
    found = parse_url(f"postgresql://app@{name}/shop?{query}")
    assert found is not None
    return found


def test_each_host_has_what_its_url_says():
    encryption = Encryption(settings("sslmode=require"))
    tls = encryption.towards(host("sslmode=require"))
    assert tls is not None
    assert (tls.mode, tls.name, tls.direct, tls.sni, tls.channel_binding) == (
        "require",
        "db.test",
        False,
        True,
        "prefer",
    )
    other = encryption.towards(host("sslnegotiation=direct&channel_binding=require&sslsni=0", "other.test"))
    assert other is not None
    assert (other.mode, other.name, other.direct, other.sni, other.channel_binding) == (
        "require",
        "other.test",
        True,
        False,
        "require",
    )
    assert encryption.towards(host("sslmode=require")) is tls  # one context for all its lines
    assert encryption.towards(host("sslmode=disable")) is None


def test_a_unix_socket_is_not_encrypted():
    assert Encryption(settings()).towards(host("sslmode=verify-full&host=/run/pg")) is None


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslmode=verify-full&sslrootcert=/nowhere", "nowhere"),
        ("sslmode=require&sslcert=/nowhere", "nowhere"),
        ("sslmode=verify-full&sslrootcert=system&sslcrl=/nowhere", "nowhere"),
        ("sslmode=disable&channel_binding=require", "sslmode is disable"),
        ("host=/run/pg&channel_binding=require", "never encrypted"),
    ],
)
def test_a_url_that_cannot_be_done_is_a_mistake_that_names_its_key(query: str, why: str):
    with pytest.raises(ConfigurationError, match=f"^primary.url: .*{why}"):
        Encryption(settings(query))


def test_sni_cannot_be_left_out_where_the_name_is_looked_for(authority: Authority):
    with pytest.raises(ConfigurationError, match="sslsni=0"):
        Encryption(settings(f"sslmode=verify-full&sslsni=0&sslrootcert={authority.path}"))


def test_clients_are_shown_what_is_in_the_files_now(authority: Authority, tmp_path: Path):
    own = authority.issue_server()
    keys = {"tls__client_tls_cert_file": own.chain, "tls__client_tls_key_file": own.key}
    assert Encryption(settings()).clients is None
    given = settings(tls__client_tls_sslmode="require", **keys)
    first = Encryption(given)
    assert first.clients is not None
    first.clients.handshakes.done += 2
    fresh = authority.issue_server()
    own.chain.write_bytes(fresh.chain.read_bytes())
    with pytest.raises(ConfigurationError, match=r"^tls: certificate .* cannot be used"):
        Encryption(given, first)
    own.key.write_bytes(fresh.key.read_bytes())
    second = Encryption(given, first)
    assert second.clients is not None
    assert second.clients.binding != first.clients.binding
    assert second.count() == {
        ("client", "done"): 2,
        ("client", "failed"): 0,
        ("server", "done"): 0,
        ("server", "failed"): 0,
    }


def test_what_is_revoked_of_clients_certificates_counts(authority: Authority):
    own, revoked = authority.issue_server(), authority.revoke(authority.issue_client("app"))
    keys = {
        "tls__client_tls_sslmode": "verify-ca",
        "tls__client_tls_cert_file": own.chain,
        "tls__client_tls_key_file": own.key,
        "tls__client_tls_ca_file": authority.path,
    }
    for more, counted in (({}, 0), ({"tls__client_tls_crl_file": revoked}, 1)):
        clients = Encryption(settings(**{**keys, **more})).clients
        assert clients is not None
        assert clients.context.cert_store_stats()["crl"] == counted
