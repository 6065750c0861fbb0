from pathlib import Path

import pytest

from dbproxy.config import Settings, load
from dbproxy.config.tls import TlsSettings, find_ciphers, find_versions
from dbproxy.config.url import TlsWish
from dbproxy.errors import ConfigurationError


def settings(**keys: object) -> TlsSettings:
    return load(None, {}, {f"tls.{key}": str(value) for key, value in keys.items()}).tls


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.pem"
    path.touch()
    return path


def test_clients_are_not_encrypted_and_servers_are_where_they_can_be():
    assert Settings().tls.client_tls_sslmode == "disable"
    assert Settings().tls.complete(TlsWish()).sslmode == "prefer"


def test_what_a_url_says_counts_more_than_the_section(file: Path):
    section = settings(
        server_tls_sslmode="require",
        server_tls_ca_file="system",
        server_tls_cert_file=file,
        server_tls_key_file=file,
        server_tls_protocols="tlsv1.3",
    )
    completed = section.complete(TlsWish())
    assert completed == TlsWish(
        sslmode="require",
        sslrootcert="system",
        sslcert=str(file),
        sslkey=str(file),
        ssl_min_protocol_version="TLSv1.3",
        ssl_max_protocol_version="TLSv1.3",
    )
    versions = {"ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": "TLSv1.2"}
    said = TlsWish("verify-full", "/ca", "/cert", "/key", **versions)  # type: ignore[arg-type]
    assert section.complete(said) == said


@pytest.mark.parametrize(
    ("words", "versions"),
    [
        ("secure", ("", "")),
        ("all", ("", "")),
        ("", ("", "")),
        ("tlsv1.2", ("TLSv1.2", "TLSv1.2")),
        ("tlsv1.2, tlsv1.3", ("TLSv1.2", "TLSv1.3")),
        ("TLSv1.3", ("TLSv1.3", "TLSv1.3")),
    ],
)
def test_versions_in_pgbouncers_words(words: str, versions: tuple[str, str]):
    assert settings(client_tls_protocols=words)
    assert find_versions(words) == versions


def test_ciphers_are_openssls_own_unless_they_are_said():
    assert (find_ciphers("default"), find_ciphers("secure"), find_ciphers("HIGH")) == ("", "", "HIGH")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"client_tls_protocols": "legacy"}, "older versions are not served"),
        ({"server_tls_protocols": "tlsv1.0"}, "older versions are not served"),
        ({"client_tls_sslmode": "require"}, "client_tls_cert_file"),
        ({"client_tls_sslmode": "sometimes"}, "verify-full"),
        ({"client_tls_cert_file": "/nowhere.pem"}, "no such file"),
        ({"server_tls_ca_file": "/nowhere.pem"}, "no such file"),
    ],
)
def test_a_mistake_is_named(keys: dict[str, str], why: str):
    with pytest.raises(ConfigurationError, match=why):
        settings(**keys)


def test_to_verify_clients_takes_an_authority(file: Path):
    own = {"client_tls_cert_file": file, "client_tls_key_file": file}
    assert settings(client_tls_sslmode="require", **own)
    with pytest.raises(ConfigurationError, match="client_tls_ca_file"):
        settings(client_tls_sslmode="verify-ca", **own)


def test_files_start_at_the_folder_of_the_configuration(tmp_path: Path, file: Path):
    path = tmp_path / "dbproxy.toml"
    path.write_text('[tls]\nserver_tls_ca_file = "some.pem"\nclient_tls_cert_file = "some.pem"\n')
    found = load(path, {}).tls
    assert (found.server_tls_ca_file, found.client_tls_cert_file) == (str(file), file)
    path.write_text('[tls]\nserver_tls_ca_file = "system"\n')
    assert load(path, {}).tls.server_tls_ca_file == "system"


def test_pgbouncers_name_in_another_place_is_led_to_its_own():
    with pytest.raises(ConfigurationError, match=r"did you mean .*tls.server_tls_sslmode"):
        load(None, {}, {"pool.server_tls_sslmode": "require"})


def test_a_key_that_everybody_may_read_is_warned_of(file: Path):
    keys = {"client_tls_cert_file": file, "client_tls_key_file": file}
    overrides = {f"tls.{key}": str(value) for key, value in keys.items()}
    file.chmod(0o644)
    [warning] = [text for text in load(None, {}, overrides).warnings() if "private key" in text]
    assert warning.startswith("tls.client_tls_key_file: everybody")
    file.chmod(0o640)
    assert not [text for text in load(None, {}, overrides).warnings() if "private key" in text]


def test_list_of_revoked_certificates_is_of_some_authority(file: Path):
    with pytest.raises(ConfigurationError, match=r"client_tls_crl_file needs tls\.client_tls_ca_file"):
        settings(client_tls_crl_file=file)
