"""Certificates made while testing: good, self-signed, for another name, expired."""

import datetime as dt
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

x509 = pytest.importorskip("cryptography.x509", reason="cryptography makes the certificates of these tests")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of one test."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: "x509.Certificate"

    @classmethod
    def create(cls, directory: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("authority of the tests")
        certificate = _builder(name, name, key, DAY).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        signed = certificate.sign(key, hashes.SHA256())
        (directory / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return cls(directory, key, signed)

    @property
    def file(self) -> Path:
        return self.directory / "ca.pem"

    def server(self, *names: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for these host names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names[0])
        issuer, signer = (subject, key) if self_signed else (self.certificate.subject, self.key)
        builder = _builder(subject, issuer, key, -DAY if expired else DAY)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        file = self.directory / f"{names[0]}-{expired}-{self_signed}.pem"
        file.write_bytes(
            builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _name(text: str) -> "x509.Name":
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _general(name: str) -> "x509.GeneralName":
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: "x509.Name", issuer: "x509.Name", key: ec.EllipticCurvePrivateKey, valid: dt.timedelta
) -> "x509.CertificateBuilder":
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now + valid)
    )
