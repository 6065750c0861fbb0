import os
import socket

import pytest

from dbproxy.net.peer import PLAIN, Peer, describe, find_peer, write_dn


class Line:
    """A transport of this socket, or of a line that is encrypted."""

    def __init__(self, sock: object = None, encrypted: object = None) -> None:
        self.known = {"socket": sock, "ssl_object": encrypted}

    def get_extra_info(self, name: str) -> object:
        return self.known.get(name)


class Encrypted:
    def __init__(self, subject: tuple = (), certificate: bytes | None = None) -> None:
        self.subject = subject
        self.certificate = certificate

    def getpeercert(self, *, binary_form: bool = False) -> object:
        return self.certificate if binary_form else {"subject": self.subject} if self.subject else {}

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256


SUBJECT = ((("countryName", "DE"),), (("organizationName", "Shop, Inc."),), (("commonName", "app"),))


def test_an_encrypted_line_shows_how_and_who():
    peer = find_peer(Line(encrypted=Encrypted(SUBJECT, b"der")), direct=True, binding=b"hash")
    assert (peer.encrypted, peer.tls, peer.direct) == (True, "TLSv1.3/TLS_AES_256_GCM_SHA384", True)
    assert (peer.verified, peer.common_name, peer.dn) == (True, "app", r"CN=app,O=Shop\, Inc.,C=DE")
    assert (peer.certificate, peer.binding) == (b"der", b"hash")
    assert "der" not in repr(peer)
    assert "hash" not in repr(peer)


def test_a_certificate_that_nobody_vouches_for_names_nobody():
    peer = find_peer(Line(encrypted=Encrypted((), b"der")))
    assert (peer.verified, peer.common_name, peer.dn, peer.certificate) == (False, "", "", b"der")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("other", "app"), "other"),
        (("app", "other"), "app"),
        (("app\0evil",), ""),
        (("app\0evil", "app"), ""),
    ],
)
def test_of_several_common_names_the_first_counts_as_by_postgresql(names: tuple[str, ...], shown: str):
    subject = tuple((("commonName", name),) for name in names)
    assert find_peer(Line(encrypted=Encrypted(subject, b"der"))).common_name == shown


def test_a_plain_line_shows_nothing_but_the_user_of_a_unix_socket():
    with socket.socket() as tcp:
        assert find_peer(Line(tcp)) == PLAIN
        assert describe(Line(tcp)) == ""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert find_peer(Line(ours)) == Peer(unix_uid=os.getuid())
    assert describe(None) == ""


@pytest.mark.parametrize(
    ("subject", "dn"),
    [
        ((), ""),
        (((("commonName", "a"), ("userId", "b")),), "UID=b+CN=a"),
        (((("commonName", 'a+b"\\<>;'),),), r"CN=a\+b\"\\\<\>\;"),
        (((("commonName", "#a"),),), r"CN=\#a"),
        (((("commonName", " a "),),), r"CN=\ a\ "),
        (
            ((("organizationName", "Müller"),), (("commonName", "a\tb\0"),)),
            r"CN=a\09b\00,O=M\C3\BCller",
        ),
        (((("1.2.3", "x"),), (("domainComponent", "test"),)), "DC=test,1.2.3=x"),
    ],
)
def test_a_name_is_written_as_rfc_2253_has_it(subject: tuple, dn: str):
    assert write_dn(subject) == dn
