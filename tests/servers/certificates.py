"""Certificates of an authority that nobody but these tests knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Certificates:
    """PEM files in a directory, made if they are not there: `ca`, `server` (key and chain), `client`, `client_key`."""

    def __init__(self, directory: Path) -> None:
        self.ca = directory / "ca.pem"
        self.server = directory / "server.pem"
        self.client = directory / "client.pem"
        self.client_key = directory / "client-key.pem"
        if not self.client_key.exists():
            directory.mkdir(parents=True, exist_ok=True)
            self._make()

    def _make(self) -> None:
        authority = ec.generate_private_key(ec.SECP256R1())
        root = _certificate("tests' authority", authority, "tests' authority", authority, ca=True)
        self.ca.write_bytes(_pem(root))
        for name in ("server", "client"):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(name, key, "tests' authority", authority)
            if name == "server":
                self.server.write_bytes(_private(key) + _pem(certificate) + _pem(root))
            else:
                self.client.write_bytes(_pem(certificate))
                self.client_key.write_bytes(_private(key))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    unsigned = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_use(ca), critical=True)
        .add_extension(hosts, critical=False)
    )
    return unsigned.sign(signer, hashes.SHA256())


def _use(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
