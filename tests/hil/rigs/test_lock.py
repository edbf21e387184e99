"""Leases, reservations, the queue, stealing; what a killed or stopped holder leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattbench.hil.rigs import lease as leases
from wattbench.hil.rigs import lock, state
from wattbench.hil.rigs.errors import (
    LeaseLostError,
    RigBrokenError,
    RigLockedError,
    StateError,
)
from wattbench.hil.rigs.lease import Lease, Watch
from wattbench.hil.rigs.state import RigState


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RigState:
    monkeypatch.setenv("WATTBENCH_USER", "ada")
    return RigState.of("lab", "bench 3", tmp_path)


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time since start-up, ns, which a test may set."""
    now = [1_000_000_000_000]
    monkeypatch.setattr(leases, "boot_ns", lambda: now[0])
    monkeypatch.setattr(lock, "boot_ns", lambda: now[0])
    return now


def take(rig: RigState, what: str = "demo", **options: bool) -> Lease:
    return asyncio.run(lock.acquire(rig, what, **options))


def test_a_leased_rig_is_refused_in_one_line_that_says_who(rig: RigState) -> None:
    lease = take(rig, "export/demo")
    with pytest.raises(RigLockedError) as refused:
        take(rig)
    text = str(refused.value)
    assert "ada on" in text
    assert f"process {os.getpid()}" in text
    assert "export/demo" in text
    assert "\n" not in text
    lease.release()
    take(rig).release()


def test_rigs_of_one_name_at_two_stations_are_two(tmp_path: Path) -> None:
    first = take(RigState.of("lab", "bench 3", tmp_path))
    second = take(RigState.of("lab", "bench 4", tmp_path))
    first.release()
    second.release()


def test_a_lease_expires_unless_renewed(rig: RigState, boot: list[int]) -> None:
    lease = take(rig)
    for _ in range(10):
        boot[0] += 4_000_000_000
        lease.renew()
    assert lock.status(rig)["state"] == "running"
    boot[0] += 5_100_000_000
    assert not lease.valid
    assert lock.status(rig)["state"] == "abandoned"
    with pytest.raises(LeaseLostError, match=r"not renewed for 5\.1 s"):
        lease.renew()


def test_setting_the_clock_neither_ends_nor_prolongs_a_lease(
    rig: RigState, boot: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    take(rig)
    monkeypatch.setattr(time, "time", lambda: 9e9)
    assert not lock.status(rig)["lease_expired"]
    boot[0] += 6_000_000_000
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert lock.status(rig)["lease_expired"] is True


def test_an_expired_lease_that_never_wrote_is_taken_over(rig: RigState, boot: list[int]) -> None:
    first = take(rig)
    boot[0] += 6_000_000_000
    second = take(rig)
    with pytest.raises(LeaseLostError):
        first.renew()
    second.renew()
    actions = [entry["action"] for entry in rig.audited()]
    assert actions == ["run", "release", "run"]


def test_an_expired_lease_that_had_written_leaves_a_broken_rig(
    rig: RigState, boot: list[int]
) -> None:
    take(rig).arm()
    boot[0] += 6_000_000_000
    with pytest.raises(RigBrokenError, match="without a safe state being confirmed"):
        take(rig)
    with pytest.raises(RigBrokenError):
        take(rig)
    assert rig.clear_broken("Grace", "looked at it: cold")
    take(rig).release()
    assert rig.audited()[-3]["by"] == "Grace"


def test_an_expired_lease_whose_guardian_confirmed_is_taken_over(
    rig: RigState, boot: list[int]
) -> None:
    lease = take(rig)
    lease.arm()
    rig.write(state.SAFE_STATE, {"token": lease.token, "confirmed": True})
    boot[0] += 6_000_000_000
    take(rig).release()


def test_after_a_restart_a_lease_is_watched_and_found_expired(
    rig: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = take(rig)
    monkeypatch.setattr(leases, "boot_id", lambda: "another start")
    now = [100.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    watch, held = Watch(), rig.read(leases.LEASE)
    assert held is not None
    assert watch.expired(rig, held) is None
    now[0] += 5.0
    assert watch.expired(rig, held) is None
    now[0] += 1.0
    assert watch.expired(rig, held) is True
    # From the other machine it is still renewed: seen to move, it is alive.
    monkeypatch.setattr(leases, "boot_id", lambda: "a third")
    lease._beat()
    monkeypatch.setattr(leases, "boot_id", lambda: "another start")
    assert watch.expired(rig, held) is False


def test_a_lease_of_another_machine_is_refused_at_last(
    rig: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = take(rig)
    monkeypatch.setattr(leases, "boot_id", lambda: "another machine")
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.5)
    with pytest.raises(RigLockedError, match="in use"):
        take(rig)
    lease.release()


def test_reservations_keep_others_out_but_not_oneself(
    rig: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.reserve(rig, "new pump", 60.0)
    take(rig).release()
    monkeypatch.setenv("WATTBENCH_USER", "bob")
    with pytest.raises(RigLockedError, match="reserved by ada"):
        take(rig)
    with pytest.raises(RigLockedError, match="rig steal"):
        lock.unlock(rig)
    monkeypatch.setenv("WATTBENCH_USER", "ada")
    assert lock.unlock(rig)
    assert not lock.unlock(rig)
    monkeypatch.setenv("WATTBENCH_USER", "bob")
    take(rig).release()


def test_accounts_of_one_name_on_two_machines_are_two_people(
    rig: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATTBENCH_USER")
    lock.reserve(rig, "", 60.0)
    take(rig).release()
    monkeypatch.setattr(state.socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(RigLockedError):
        take(rig)


def test_a_reservation_ends_by_itself(
    rig: RigState, boot: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.reserve(rig, "", 60.0)
    monkeypatch.setenv("WATTBENCH_USER", "bob")
    boot[0] += 59_000_000_000
    with pytest.raises(RigLockedError):
        take(rig)
    boot[0] += 2_000_000_000
    take(rig).release()


def test_stealing_takes_lease_and_reservation_and_is_audited(
    rig: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = take(rig)
    monkeypatch.setenv("WATTBENCH_USER", "bob")
    had = lock.steal(rig, "demonstration at ten", 600.0)
    assert "ada" in had
    with pytest.raises(LeaseLostError, match=r"taken away by bob on .*: demonstration at ten"):
        lease.renew()
    lease.release()
    take(rig).release()
    stolen = [entry for entry in rig.audited() if entry["action"] == "steal"]
    assert [(e["who"], e["reason"]) for e in stolen] == [("bob", "demonstration at ten")]


def test_a_stolen_rig_that_nobody_made_safe_is_broken(rig: RigState) -> None:
    take(rig).arm()
    lock.steal(rig, "urgent", 60.0)
    with pytest.raises(RigBrokenError, match="a run that lost the rig ended without"):
        take(rig)


def test_a_rig_whose_guardian_is_at_work_is_waited_for(rig: RigState) -> None:
    import fcntl

    rig.folder.mkdir(parents=True)
    handle = os.open(rig.folder / lock.GUARDIAN_LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)

    async def compete() -> Lease:
        waiting = asyncio.create_task(lock.acquire(rig, "next"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        os.close(handle)
        return await waiting

    asyncio.run(compete()).release()


def test_those_who_wait_are_served_in_turn(rig: RigState) -> None:
    served: list[str] = []

    async def waiter(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        lease = await lock.acquire(rig, name, wait=True)
        served.append(name)
        await asyncio.sleep(0.05)
        lease.release()

    async def all_of_them() -> None:
        first = await lock.acquire(rig, "first")
        tasks = [asyncio.create_task(waiter(name, i * 0.15)) for i, name in enumerate("abc")]
        await asyncio.sleep(0.8)
        assert [one["what"] for one in lock.status(rig)["queue"]] == ["a", "b", "c"]
        first.release()
        with pytest.raises(RigLockedError, match="waiting"):
            await lock.acquire(rig, "pushy")
        await asyncio.gather(*tasks)

    asyncio.run(all_of_them())
    assert served == ["a", "b", "c"]
    assert lock.status(rig)["queue"] == []


def test_two_who_come_at_once_never_both_get_it(rig: RigState) -> None:
    script = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from wattbench.hil.rigs import lock
        from wattbench.hil.rigs.errors import RigLockedError
        from wattbench.hil.rigs.state import RigState
        rig = RigState(Path(sys.argv[1]))
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            asyncio.run(lock.acquire(rig, "demo"))
            print("got it")
        except RigLockedError:
            print("refused")
        sys.stdin.readline()
    """)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rig.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = sorted(one.stdout.readline() for one in both if one.stdout is not None)
    for one in both:
        one.communicate("end\n")
    assert said == ["got it\n", "refused\n"]


@pytest.fixture
def waiter(rig: RigState) -> Iterator[subprocess.Popen[str]]:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from wattbench.hil.rigs.lock import Ticket
        from wattbench.hil.rigs.state import RigState
        with Ticket(RigState(Path(sys.argv[1])), "killed"):
            print("waiting", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(rig.folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    yield process
    process.kill()
    process.communicate()


def test_a_waiter_who_was_killed_is_passed(rig: RigState, waiter: subprocess.Popen[str]) -> None:
    with pytest.raises(RigLockedError, match="1 waiting"):
        take(rig)
    waiter.send_signal(signal.SIGKILL)
    waiter.wait()
    take(rig).release()
    assert not list((rig.folder / "queue").iterdir())


def test_a_full_disk_is_one_clear_line(rig: RigState, monkeypatch: pytest.MonkeyPatch) -> None:
    take(rig).release()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    for name in ("write", "pwrite", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(StateError) as refused:
                take(rig)
            text = str(refused.value)
            assert "No space left on device" in text
            assert "WATTBENCH_STATE" in text
            assert "\n" not in text
        take(rig).release()


def test_a_disk_that_fills_up_does_not_take_the_rig_away(
    rig: RigState, boot: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = take(rig)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "fsync", full)
        boot[0] += 3_000_000_000
        lease.renew()  # overwrites in place
        patch.setattr(os, "pwrite", full)
        boot[0] += 1_000_000_000
        lease.renew()  # fails; still valid for a while
        boot[0] += 2_500_000_000
        with pytest.raises(LeaseLostError, match="cannot be renewed"):
            lease.renew()
    assert Path(rig.folder).is_dir()


def test_a_state_folder_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "rigs").write_text("")
    with pytest.raises(StateError, match="cannot write"):
        take(RigState.of("lab", "", tmp_path))


def test_half_written_files_are_no_obstacle(rig: RigState) -> None:
    take(rig).release()
    (rig.folder / leases.LEASE).write_text('{"token": "')
    (rig.folder / lock.RESERVATION).write_text("[]")
    with (rig.folder / "audit.jsonl").open("a") as file:
        file.write('{"action": ')
    take(rig).release()
    assert all("action" in entry for entry in rig.audited())


def test_a_broken_file_that_cannot_be_read_still_means_broken(rig: RigState) -> None:
    rig.mark_broken("smoke")
    (rig.folder / state.BROKEN).write_text("{")
    with pytest.raises(RigBrokenError):
        take(rig)


def test_the_first_reason_of_a_broken_rig_stays(rig: RigState) -> None:
    rig.mark_broken("first")
    rig.mark_broken("second")
    assert rig.broken is not None
    assert rig.broken["reason"] == "first"
    entries = [json.loads(line) for line in (rig.folder / "audit.jsonl").read_text().splitlines()]
    assert [entry["reason"] for entry in entries] == ["first", "second"]
