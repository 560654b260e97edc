"""A certificate of a server on this machine, and the authority that vouches for it."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Certificates:
    """`server` holds the key too, as PEM; it is good for 127.0.0.1 only, not for localhost."""

    authority: Path
    server: Path

    def context(self) -> ssl.SSLContext:
        """What a server listens with."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.server)
        return made


def certificates(folder: Path) -> Certificates:
    """New ones, good until tomorrow, written to this folder."""
    found = Certificates(folder / "authority.pem", folder / "server.pem")
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]

    def sign(name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now, day = datetime.now(UTC), timedelta(days=1)
        made = x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        return made.add_extension(extension, critical=True).sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)

    found.authority.write_bytes(sign(names[0], authority, x509.BasicConstraints(ca=True, path_length=0)))
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    key = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    found.server.write_bytes(sign(names[1], server, place) + key)
    return found
