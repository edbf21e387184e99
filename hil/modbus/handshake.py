"""TLS connections whose clients are told why they are refused.

asyncio closes a connection as soon as its handshake fails and leaves unsent the alert that TLS
prescribes (RFC 8446, section 6.2): to a client without a certificate it would look like a device
that hangs up. Devices send it.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from typing import Any


class Handshake(sslproto.SSLProtocol):
    """The server's end of a TLS connection.

    Args:
        protocol: What runs inside of it.
        context: Certificates of both sides.
        handshake_s: Seconds for the handshake.
        shutdown_s: Seconds for the end.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        handshake_s: int,
        shutdown_s: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = loop.create_future()
        """Is over with the handshake; has the error of one that failed."""
        super().__init__(
            loop,
            protocol,
            context,
            self.done,
            server_side=True,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=shutdown_s,
        )

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if isinstance(handshake_exc, ssl.SSLError):
            self._process_outgoing()  # type: ignore[attr-defined]  # not in the stubs
        super()._on_handshake_complete(handshake_exc)
