"""Modbus over TLS: both sides show a certificate, and the client's may name a role.

Source: MODBUS/TCP Security Protocol Specification V36 (modbus.org): port 802, TLS 1.2 or newer,
mutual authentication, the role in extension 1.3.6.1.4.1.50316.802.1 as a UTF8String, a request
that the role may not make refused with code 1.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROLE_OID: Final = "1.3.6.1.4.1.50316.802.1"
_OID_TAG, _UTF8_TAG, _OCTETS_TAG, _BOOLEAN_TAG = 0x06, 0x0C, 0x04, 0x01
_CONSTRUCTED: Final = 0x20
_DAYS: Final = 3650


class TlsError(Exception):
    """A certificate or key cannot be used, or not be made."""


def server_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Return the context of a server that lets in clients with a certificate of `client_ca`.

    Args:
        certificate: PEM file of the server's certificate, with the chain up to its issuer.
        key: PEM file of its key, without password.
        client_ca: PEM file of who issued the clients' certificates.

    Raises:
        TlsError: A file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate, key, client_ca)
    return context


def client_context(certificate: Path, key: Path, server_ca: Path) -> ssl.SSLContext:
    """Return the context of a client that trusts servers of `server_ca`, by its certificate.

    Devices are reached by addresses that no certificate names, so names are not compared.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _load(context, certificate, key, server_ca)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path, ca: Path) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # an SSLError is one
        raise TlsError(f"{certificate} with {key}: {error.strerror or error}") from error
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise TlsError(f"{ca}: {error.strerror or error}") from error


def role_of(certificate: bytes | None) -> str | None:
    """Return the role that a certificate (DER) names; None: none, or not as a UTF8String."""
    if not certificate:
        return None
    wanted, found = _encode_oid(ROLE_OID), False
    for tag, value in _walk(certificate):
        if tag == _OID_TAG:
            found = value == wanted
        elif found and tag == _OCTETS_TAG:
            for inner, text in _walk(value):
                return text.decode("utf-8", "replace") if inner == _UTF8_TAG else None
        elif found and tag != _BOOLEAN_TAG:
            found = False
    return None


def _encode_oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    encoded = bytearray((40 * first + second,))
    for arc in others:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(septets))
    return bytes(encoded)


def _walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of every primitive element, depth first; ends where DER ends."""
    position = 0
    while position + 2 <= len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size & 0x80:
            octets = size & 0x7F
            size = int.from_bytes(data[position : position + octets], "big")
            position += octets
        value = data[position : position + size]
        position += size
        if tag & _CONSTRUCTED:
            yield from _walk(value)
        else:
            yield tag, value


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of an authority of its own and of the two sides that it vouches for."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def create_certificates(folder: Path, role: str | None = None) -> Certificates:
    """Make certificates for emulated devices and their clients, with the program openssl.

    They are for the bench only. `role`, letters and digits, is put into the client's.

    Raises:
        TlsError: The program is missing or fails.
    """
    program = shutil.which("openssl")
    if program is None:
        raise TlsError("certificates are made with the program openssl: install it, or name files")
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(*(folder / f"{name}.pem" for name in _FILES))
    authority_key = folder / "authority-key.pem"
    _issue(program, "wattbench bench authority", made.authority, authority_key)
    issuer = ("-CA", str(made.authority), "-CAkey", str(authority_key))
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    roles = () if role is None else ("-addext", f"{ROLE_OID}=ASN1:UTF8String:{role}")
    _issue(program, "localhost", made.server, made.server_key, *issuer, *names, *leaf)
    _issue(program, "wattbench client", made.client, made.client_key, *issuer, *roles, *leaf)
    return made


_FILES: Final = ("authority", "server", "server-key", "client", "client-key")


def _issue(program: str, name: str, certificate: Path, key: Path, *options: str) -> None:
    words = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", str(_DAYS), "-subj", f"/CN={name}", *options]
    words += ["-out", str(certificate), "-keyout", str(key)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise TlsError(f"openssl cannot make {certificate}: {done.stderr.strip()}")
