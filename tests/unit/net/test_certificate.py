import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from dbproxy.net.certificate import bind, find_hash

RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db.test")])
NOON = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def certify(key, algorithm, rsa_padding=None) -> bytes:
    builder = x509.CertificateBuilder(
        NAME, NAME, key.public_key(), 1, NOON, NOON + datetime.timedelta(days=1)
    )
    return builder.sign(key, algorithm, rsa_padding=rsa_padding).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("key", [RSA, CURVE], ids=["rsa", "ecdsa"])
@pytest.mark.parametrize("algorithm", [hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_certificate_is_hashed_as_its_own_signature_is(key, algorithm):
    certificate = certify(key, algorithm)
    digest = hashes.Hash(algorithm)
    digest.update(certificate)
    assert bind(certificate) == digest.finalize()


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_of_rsa_pss_the_hash_is_in_the_parameters(algorithm):
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
    assert find_hash(certify(RSA, algorithm, pss)) == algorithm.name


def test_a_signature_that_has_no_one_hash_binds_nothing():
    assert bind(certify(ed25519.Ed25519PrivateKey.generate(), None)) is None


@pytest.mark.parametrize("size", range(0, 700, 7))
def test_what_is_cut_off_is_no_certificate(size: int):
    assert find_hash(certify(CURVE, hashes.SHA256())[: min(size, 100)]) is None


def test_sha1_and_md5_are_too_weak_to_bind_by():
    weak = certify(RSA, hashes.SHA256()).replace(
        bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    )
    assert find_hash(weak) == "sha256"
