"""What `wattbench tape` does: show, export and replay tapes."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .show import EXIT_RIG, EXIT_USAGE

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.tape.export import Told
    from ..hil.tape.reader import TapeReader
    from ..hil.tape.replay import BusReplay, Replay
    from ..sim.clock import WallClock

EXIT_PASS: Final = 0
TAPE_FILE: Final = "tape.pcapng"


class _UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames of which tape; times as given."""

    file: Path
    bus: str | None = None
    from_s: str | None = None
    to_s: str | None = None


def show(wanted: Wanted, *, as_hex: bool, as_json: bool) -> int:
    """Print frames with their meaning; return the exit code."""
    from ..hil.tape.export import as_dict
    from ..hil.tape.model import TapeError

    try:
        reader = _reader(wanted.file)
        for frame, meaning in _told(reader, wanted):
            if as_json:
                print(json.dumps(as_dict(reader, frame, meaning)))
                continue
            arrow = "→" if frame.direction == "request" else "←"
            print(f"{frame.t_us / 1e6:14.6f}  {frame.bus}  {arrow} {meaning.line()}")
            if as_hex:
                print(f"{'':14}  {frame.data.hex(' ')}")
    except (TapeError, _UsageError) as problem:
        return _refused(problem)
    _tell_damage(reader)
    return EXIT_PASS


def export(wanted: Wanted, pcapng: Path | None, csv: Path | None) -> int:
    """Write frames to files; return the exit code."""
    from ..hil.tape.export import at_once, write_csv, write_pcapng
    from ..hil.tape.model import TapeError

    try:
        if pcapng is None and csv is None:
            raise _UsageError("nothing to write; allowed: --pcapng OUT, --csv OUT, or both")
        reader = _reader(wanted.file)
        if pcapng is not None:
            _not_itself(pcapng, reader)
            count = write_pcapng(pcapng, reader, _told(reader, wanted))
            print(f"{pcapng}: {count} frames", file=sys.stderr)
        if csv is not None and str(csv) == "-":
            write_csv(sys.stdout, reader, _told(reader, wanted))
        elif csv is not None:
            _not_itself(csv, reader)
            with at_once(csv) as place, place.open("w", encoding="utf-8", newline="") as stream:
                count = write_csv(stream, reader, _told(reader, wanted))
            print(f"{csv}: {count} frames", file=sys.stderr)
    except (TapeError, _UsageError) as problem:
        return _refused(problem)
    _tell_damage(reader)
    return EXIT_PASS


def replay(
    file: Path, bus: str | None, host: str, port: int, *, immediate: bool, hold: bool
) -> int:
    """Serve the devices of a tape until stopped; return the exit code."""
    from ..hil.tape.model import TapeError
    from ..hil.tape.replay import Replay
    from ..sim.clock import WallClock

    with WallClock() as clock:
        try:
            reader = _reader(file)
            _known_bus(reader, bus)
            played = Replay(reader, clock, immediate=immediate, hold=hold)
        except (TapeError, _UsageError) as problem:
            return _refused(problem)
        _tell_damage(reader)
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: clock.cancel())
        return _serve(clock, played, bus, host, port)


def _serve(clock: WallClock, played: Replay, only: str | None, host: str, port: int) -> int:
    import asyncio

    from ..hil.serialport import LineError

    chosen = [bus for name, bus in played.buses.items() if only in {None, name} and bus.recorded]
    if not chosen:
        return _refused(_UsageError("there is no request on the tape; nothing can be replayed"))

    async def serve() -> None:
        for number, bus in enumerate(chosen):
            bus.on_missed = lambda text: print(f"wattbench: {text}", file=sys.stderr, flush=True)
            place = await _listen(bus, host, port + number if port else 0)
            for row in _endpoints(played, bus, place):
                print(json.dumps(row), flush=True)
        await asyncio.get_running_loop().create_future()

    try:
        clock.run(serve())
    except asyncio.CancelledError:
        pass
    except (OSError, LineError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        print(f"wattbench: {host}, port {port}: {reason}", file=sys.stderr)
        return EXIT_RIG
    asked = sum(bus.answered for bus in chosen)
    left = sum(bus.left for bus in chosen)
    missed = sum(sum(bus.missed.values()) for bus in chosen)
    print(
        f"wattbench: {asked} requests answered as recorded, {left} of the tape not made, "
        f"{missed} not on the tape",
        file=sys.stderr,
    )
    return EXIT_PASS


async def _listen(bus: BusReplay, host: str, port: int) -> dict[str, Any]:
    """Serve a bus on TCP, a serial line on a pseudo terminal; return where."""
    import asyncio

    from ..hil.serialport import PtyPort

    if bus.kind == "modbus-rtu":
        line = PtyPort(bus.protocol)
        line.plug()
        _KEPT.append(line)
        return {"path": line.path}
    server = await asyncio.get_running_loop().create_server(bus.protocol, host, port)
    _KEPT.append(server)
    address = server.sockets[0].getsockname()
    return {"host": address[0], "port": address[1]}


#: What serves until the process ends.
_KEPT: list[Any] = []


def _endpoints(played: Replay, bus: BusReplay, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a line a device, as `wattbench emulate` prints them."""
    # Without the certificates of then, TLS is replayed in the clear.
    kind = "modbus-tcp" if bus.kind == "modbus-tls" else bus.kind
    devices = [device for device in played.header.devices if device.bus == bus.name]
    for device in devices:
        row: dict[str, Any] = {"device": device.id, "profile": device.profile, "bus": kind}
        row |= place
        if device.unit is not None:
            row["unit"] = device.unit
        if device.ieee is not None:
            row["ieee"] = device.ieee
        yield row
    if not devices:
        yield {"device": bus.name, "bus": kind} | place


def _reader(given: Path) -> TapeReader:
    from ..hil.tape.reader import TapeReader

    return TapeReader(given / TAPE_FILE if given.is_dir() else given)


def _told(reader: TapeReader, wanted: Wanted) -> Iterator[Told]:
    from ..hil.tape.decode import Decoder
    from ..hil.tape.export import told

    _known_bus(reader, wanted.bus)
    begin, end = _microseconds("--from", wanted.from_s), _microseconds("--to", wanted.to_s)
    return told(reader, Decoder(reader.header, _profiles(reader)), wanted.bus, begin, end)


def _profiles(reader: TapeReader) -> dict[str, DeviceProfile]:
    """Return the profiles that the tape names and that can be had here."""
    from ..scenarios.devices import UnknownProfileError, load_device_profile
    from ..scenarios.errors import ScenarioErrors

    found = {}
    for name in dict.fromkeys(device.profile for device in reader.header.devices):
        try:
            found[name] = load_device_profile(name)
        except (UnknownProfileError, ScenarioErrors, OSError):
            print(
                f"wattbench: no device profile '{name}' here; its values are shown as registers",
                file=sys.stderr,
            )
    return found


def _known_bus(reader: TapeReader, bus: str | None) -> None:
    if bus is not None and bus not in reader.buses:
        from ..hil.wirefaults.targets import unknown

        raise _UsageError(unknown("bus", bus, list(reader.buses)))


def _microseconds(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    from ..sim.config import Quantity

    try:
        return round(
            float(Quantity("s").convert(text) if text.strip()[-1:].isalpha() else text) * 1e6
        )
    except Exception:
        raise _UsageError(
            f"{option} is '{text}'; allowed: a time such as 90, 1.5 min or 2 h"
        ) from None


def _not_itself(out: Path, reader: TapeReader) -> None:
    with contextlib.suppress(OSError):
        if out.samefile(reader.path):
            raise _UsageError(f"{out} is the tape itself; allowed: another file")


def _tell_damage(reader: TapeReader) -> None:
    if reader.damage is not None:
        print(f"wattbench: {reader.path}: {reader.damage}", file=sys.stderr)


def _refused(problem: Exception) -> int:
    print(f"wattbench: {problem}", file=sys.stderr)
    return EXIT_USAGE
