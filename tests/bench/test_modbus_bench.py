"""What a request costs a Modbus server: ours, pymodbus's and libmodbus's, in one run.

A client reads 60 registers over and over; client and server are pinned to one core, and the
server's time on the processor is what the system counts for its process. The client is a small
program on libmodbus, compiled here; without gcc or libmodbus-dev it is a socket in Python, and the
row for libmodbus's server is skipped. Ratios are what to look at; times depend on the machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

READS = 20_000
REGISTERS = 60
DEVICES = 200
SECONDS = 10

UNIT = """
class Meter:
    functions = frozenset((3, 4))
    image = bytes(range(250))
    def read_registers(self, table, address, count, t_us):
        return self.image[2 * address : 2 * (address + count)]
    def hold_us(self, t_us, function):
        return 0
"""

OURS = f"""
import asyncio, sys
from wattbench.hil.modbus.server import ModbusServer
from wattbench.sim.clock import WallClock
{UNIT}
async def main():
    ports = []
    for _ in range(int(sys.argv[1])):
        server = ModbusServer({{1: Meter()}}, clock)
        ports.append((await server.serve_tcp())[1])
    print(*ports, flush=True)
    await asyncio.Event().wait()
clock = WallClock()
clock.run(main())
"""

PYMODBUS = """
import asyncio
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
async def main():
    data = [SimData(0, count=125, values=7, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, simdata=data), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

LIBMODBUS_SERVER = r"""
#include <arpa/inet.h>
#include <modbus.h>
#include <stdio.h>
#include <sys/socket.h>
int main(void) {
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 125, 125);
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = modbus_tcp_listen(ctx, 1);
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int length;
        modbus_tcp_accept(ctx, &listener);
        while ((length = modbus_receive(ctx, query)) >= 0)
            if (length > 0) modbus_reply(ctx, query, length, map);
        modbus_close(ctx);
    }
}
"""

LIBMODBUS_CLIENT = r"""
#include <modbus.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    uint16_t registers[125];
    modbus_set_slave(ctx, 1);
    if (modbus_connect(ctx)) return 1;
    for (long left = atol(argv[2]); left > 0; left--)
        if (modbus_read_registers(ctx, 0, atoi(argv[3]), registers) < 0) return 2;
    modbus_close(ctx);
    return 0;
}
"""


def _compiled(source: str, folder: Path, name: str) -> str | None:
    """Return a program on libmodbus; None without compiler or library."""
    compiler, program = shutil.which("cc"), folder / name
    if compiler is None:
        return None
    file = program.with_suffix(".c")
    file.write_text(source)
    words = [compiler, "-O2", "-I/usr/include/modbus", str(file), "-o", str(program), "-lmodbus"]
    done = subprocess.run(words, capture_output=True, check=False)
    return str(program) if done.returncode == 0 else None


@contextmanager
def _server(*words: str) -> Iterator[tuple[int, list[int]]]:
    """Run a server on one core; yields its process id and its ports."""
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(server.pid, {_core()})
        assert server.stdout is not None
        yield server.pid, [int(word) for word in server.stdout.readline().split()]
    finally:
        server.kill()
        server.wait()


def _core() -> int:
    return max(os.sched_getaffinity(0))


def _cpu_s(pid: int) -> float:
    """Return a process's time on the processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9


def _read(client: str | None, port: int, reads: int) -> None:
    if client is not None:
        subprocess.run(
            [client, str(port), str(reads), str(REGISTERS)],
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {_core()}),
        )
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_core()})
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, REGISTERS)
            for _ in range(reads):
                sock.sendall(request)
                left = 9 + 2 * REGISTERS
                while left:
                    left -= len(sock.recv(left))
    finally:
        os.sched_setaffinity(0, before)


def _cost_us(client: str | None, *words: str) -> float:
    """Return the processor time of a request in µs."""
    with _server(*words) as (pid, (port,)):
        _read(client, port, READS // 10)
        before_s = _cpu_s(pid)
        _read(client, port, READS)
        return (_cpu_s(pid) - before_s) / READS * 1e6


def test_server_cost(benchmark, tmp_path):
    """Processor time per request and its ratios; 60 registers, one client, one core."""
    client = _compiled(LIBMODBUS_CLIENT, tmp_path, "client")
    libmodbus = _compiled(LIBMODBUS_SERVER, tmp_path, "server")
    python = (sys.executable, "-c")
    costs: dict[str, list[float]] = {"ours": [], "pymodbus": [], "libmodbus": []}

    def run():
        costs["ours"].append(_cost_us(client, *python, OURS, "1"))
        costs["pymodbus"].append(_cost_us(client, *python, PYMODBUS))
        if libmodbus is not None:
            costs["libmodbus"].append(_cost_us(client, libmodbus))

    benchmark.pedantic(run, rounds=3)
    best = {name: min(values) for name, values in costs.items() if values}
    for name, cost_us in best.items():
        benchmark.extra_info[f"{name}_ns_a_request"] = 1000 * cost_us
    benchmark.extra_info["pymodbus_over_ours_percent"] = 100 * best["pymodbus"] / best["ours"]
    if libmodbus is not None:
        benchmark.extra_info["ours_over_libmodbus_percent"] = 100 * best["ours"] / best["libmodbus"]
    else:
        print("libmodbus's server: skipped, cc or libmodbus-dev is missing")


def test_many_devices(benchmark):
    """200 servers in one process, each with a connection, each polled once a second."""
    request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, REGISTERS)
    shares: list[float] = []

    def run():
        with _server(sys.executable, "-c", OURS, str(DEVICES)) as (pid, ports):
            socks = [socket.create_connection(("127.0.0.1", port)) for port in ports]
            before_s, begin_s = _cpu_s(pid), time.monotonic()
            for k in range(SECONDS * DEVICES):
                sock = socks[k % DEVICES]
                sock.sendall(request)
                assert len(sock.recv(512)) == 9 + 2 * REGISTERS
                time.sleep(max(0.0, begin_s + (k + 1) / DEVICES - time.monotonic()))
            shares.append((_cpu_s(pid) - before_s) / (time.monotonic() - begin_s))
            for sock in socks:
                sock.close()

    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["core_permille"] = 1000 * min(shares)


if not Path("/proc/self/schedstat").exists():
    pytestmark = pytest.mark.skip(reason="no /proc: the cost of a process cannot be read")
