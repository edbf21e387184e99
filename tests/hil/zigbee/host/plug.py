"""A plug on a scripted stick, and the commands that the stick was given."""

from __future__ import annotations

NWK = 0x1234


def with_plug(bench, znp, behaviour=None):
    bench.stick.nodes[NWK] = znp.PLUG
    bench.stick.devices[NWK] = behaviour or znp.obedient
    return znp.PLUG


def commands(bench) -> list[int]:
    return [frame.command for frame in bench.stick.log]
