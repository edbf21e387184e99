"""The coordinator's line with faults on it, and what its tape sees."""

from __future__ import annotations

import asyncio

from wattbench.hil.zigbee import mt


class _Fault:
    """Drops every answer, or bends requests."""

    def __init__(self):
        self.dropping = False
        self.closed = None

    def requests(self, bus, t_us, frame):
        from wattbench.hil.wire import Delivery

        if frame[2:4] == b"\x21\x02":
            return [Delivery(0, b"\x00\xfe"), Delivery(50_000, frame)]
        return [Delivery(0, frame)]

    def answers(self, bus, t_us, frame):
        from wattbench.hil.wire import Delivery

        return [] if self.dropping else [Delivery(0, frame)]

    def accepts(self, bus, t_us):
        return True

    def attach(self, bus, send, close):
        self.send, self.close = send, close
        return lambda: setattr(self, "closed", bus)


class _Tap:
    def __init__(self):
        self.frames = []

    def frame(self, bus, direction, t_us, data):
        self.frames.append((bus, direction, t_us, data))


def test_faults_and_tape(bench):
    fault, tap = _Fault(), _Tap()
    one = bench(faults=fault, tap=tap, bus="stick")
    host = one.start()

    async def work():
        await host.request(mt.SYS_PING)
        assert [frame[:2] for frame in tap.frames] == [("stick", "request"), ("stick", "answer")]
        begun_us = one.clock.now_us
        await host.request(mt.SYS_VERSION)
        assert one.clock.now_us - begun_us > 50_000
        fault.send(b"\x01\x02babble")
        await host.request(mt.SYS_PING)
        fault.dropping = True
        host.write(mt.MtFrame(mt.SYS_PING).encode())
        await asyncio.sleep(1)
        assert host.frames == []
        fault.close()
        await asyncio.sleep(1)
        assert host.closed
        assert fault.closed == "stick"

    one.run(work())
