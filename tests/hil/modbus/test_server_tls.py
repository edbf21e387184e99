"""Mutual TLS and roles; certificates are made with openssl."""

import asyncio
import shutil
import socket
import ssl
import struct

import pytest

from wattbench.hil.modbus.framing import tcp_frame
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.tls import (
    ROLE_OID,
    TlsError,
    client_context,
    create_certificates,
    role_of,
    server_context,
)
from wattbench.sim.clock import WallClock

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the program openssl is missing: apt install openssl"
)
READ = tcp_frame(1, 1, bytes.fromhex("03 0000 0002"))
WRITE = tcp_frame(2, 1, bytes.fromhex("06 0000 0001"))
ANSWER = tcp_frame(1, 1, bytes.fromhex("03 04 0000 0000"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return create_certificates(tmp_path_factory.mktemp("tls"), role="operator")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return create_certificates(tmp_path_factory.mktemp("strangers"))


def served(kit, certificates, client, **options) -> ModbusServer:
    """Run `client(host, port)` beside a server over TLS."""
    with WallClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)

        async def main():
            context = server_context(
                certificates.server, certificates.server_key, certificates.authority
            )
            host, port = await server.serve_tls(context, **options)
            await asyncio.wait_for(client(host, port), 20)
            await server.close()

        clock.run(main())
        return server


@needs_openssl
def test_a_client_with_a_certificate_is_served_in_pieces_and_pipelined(kit, made) -> None:
    async def client(host, port):
        context = client_context(made.client, made.client_key, made.authority)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(READ * 100)
        assert await reader.readexactly(1300) == ANSWER * 100
        for byte in READ:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await reader.readexactly(13) == ANSWER
        writer.write(struct.pack(">HHH", 1, 0, 0xFFFF) + bytes(20))
        assert await reader.read() == b""
        writer.close()

    assert served(kit, made, client).statistics.requests == 101


@needs_openssl
def test_without_a_certificate_or_with_a_strangers_nothing_is_answered(
    kit, made, strangers
) -> None:
    async def tried(host, port, context) -> bytes:
        try:
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(READ)
            got = await reader.read()
            writer.close()
        except OSError:
            return b""
        return got

    async def client(host, port):
        none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        none.check_hostname = False
        none.verify_mode = ssl.CERT_NONE
        stranger = client_context(strangers.client, strangers.client_key, made.authority)
        old = client_context(made.client, made.client_key, made.authority)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        for context in (none, stranger, old, None):
            assert await tried(host, port, context) == b""

    assert served(kit, made, client).statistics.requests == 0


@needs_openssl
def test_handshakes_that_are_never_made_keep_nobody_out(kit, made) -> None:
    """More connections than select(2) can watch; none of them says a word."""

    async def client(host, port):
        silent = []
        for _ in range(1100):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((host, port))
            silent.append(sock)
            if len(silent) > 200:
                silent.pop(0).close()
            await asyncio.sleep(0)
        for sock in silent:
            sock.close()
        await asyncio.sleep(0.2)
        context = client_context(made.client, made.client_key, made.authority)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(READ)
        assert await reader.readexactly(13) == ANSWER
        writer.close()

    served(kit, made, client)


@needs_openssl
def test_a_client_is_told_why_it_is_refused(kit, made, strangers) -> None:
    """By the alert that TLS prescribes, not by a connection that only ends."""

    async def tried(host, port, context) -> None:
        reader, _ = await asyncio.open_connection(host, port, ssl=context)
        await reader.read()

    async def client(host, port):
        none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        none.check_hostname = False
        none.load_verify_locations(made.authority)
        stranger = client_context(strangers.client, strangers.client_key, made.authority)
        for context, alert in ((none, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"), (stranger, "CA")):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.maximum_version = version
                with pytest.raises(ssl.SSLError, match=alert):
                    await tried(host, port, context)

    assert served(kit, made, client).statistics.requests == 0


@needs_openssl
def test_whoever_hangs_in_a_handshake_gives_way(kit, made) -> None:
    """As many as may be in theirs say nothing and stay; clients get in, again and again."""

    async def client(host, port):
        silent = [await asyncio.open_connection(host, port) for _ in range(200)]
        await asyncio.sleep(0.1)
        for _ in range(3):
            context = client_context(made.client, made.client_key, made.authority)
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(READ)
            assert await reader.readexactly(13) == ANSWER
            writer.close()
        assert await silent[0][0].read() == b"", "the oldest was closed"
        for _, writer in silent:
            writer.close()

    served(kit, made, client)


@needs_openssl
def test_closing_the_server_closes_what_is_open(kit, made) -> None:
    with WallClock() as clock:

        async def main():
            server = ModbusServer({1: kit.Bank()}, clock)
            context = server_context(made.server, made.server_key, made.authority)
            host, port = await server.serve_tls(context)
            trusted = client_context(made.client, made.client_key, made.authority)
            reader, writer = await asyncio.open_connection(host, port, ssl=trusted)
            writer.write(READ)
            assert await reader.readexactly(13) == ANSWER
            async with asyncio.timeout(5):
                await server.close()
                assert await reader.read() == b""
            assert server.connections == 0
            writer.close()

        clock.run(main())


@needs_openssl
def test_roles_say_who_may_do_what(kit, made, strangers) -> None:
    async def client(host, port):
        context = client_context(made.client, made.client_key, made.authority)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(READ + WRITE + READ)
        expected = ANSWER + tcp_frame(2, 1, b"\x86\x01") + ANSWER
        assert await reader.readexactly(len(expected)) == expected
        writer.close()

    served(kit, made, client, roles={"operator": frozenset((3,))})

    async def nobody(host, port):
        context = client_context(strangers.client, strangers.client_key, strangers.authority)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(READ)
        assert await reader.readexactly(9) == tcp_frame(1, 1, b"\x83\x01")
        writer.close()

    served(kit, strangers, nobody, roles={"operator": frozenset((3,))})


@needs_openssl
def test_the_role_is_read_from_the_certificate(made, strangers) -> None:
    der = ssl.PEM_cert_to_DER_cert(made.client.read_text())
    assert role_of(der) == "operator"
    assert role_of(ssl.PEM_cert_to_DER_cert(strangers.client.read_text())) is None
    for size in range(len(der)):
        role_of(der[:size])


def test_no_certificate_no_role() -> None:
    assert role_of(None) is None
    assert role_of(b"") is None
    assert ROLE_OID.endswith("802.1")


def test_files_that_are_missing_or_wrong_are_named(tmp_path) -> None:
    wrong = tmp_path / "wrong.pem"
    with pytest.raises(TlsError, match=r"wrong\.pem.*No such file"):
        server_context(wrong, wrong, wrong)
    wrong.write_text("no certificate")
    with pytest.raises(TlsError, match=r"wrong\.pem"):
        server_context(wrong, wrong, wrong)


def test_without_openssl_it_says_what_to_do(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TlsError, match="install it"):
        create_certificates(tmp_path)
