"""Whatever happens in whatever order: never two who may write, and no rig is lost for good."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wattbench.hil.rigs import lease as leases
from wattbench.hil.rigs import lock, state
from wattbench.hil.rigs.errors import LeaseLostError, RigBrokenError, RigLockedError
from wattbench.hil.rigs.lease import Lease
from wattbench.hil.rigs.state import RigState

S = 1_000_000_000
users = st.sampled_from(["ada", "bob"])


class Rig(RuleBasedStateMachine):
    """Runs of two people on one rig; time passes only by rule."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rig = RigState(Path(self.folder.name) / "lab")
        self.now_ns = 1000 * S
        self.leases: list[Lease] = []
        self.armed: set[str] = set()
        self.patch = pytest.MonkeyPatch()
        for module in (leases, lock):
            self.patch.setattr(module, "boot_ns", lambda: self.now_ns)
        self.patch.setattr(lock, "_PATIENCE_S", 0.0)
        self.patch.setattr(lock, "_POLL_S", 0.0)
        # What reaches the disk is not the matter here.
        self.patch.setattr(state.os, "fsync", lambda handle: None)

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            for lease in self.leases:
                lease.forget()
            self.patch.undo()
            self.folder.cleanup()

    def be(self, who: str) -> None:
        self.patch.setenv("WATTBENCH_USER", who)

    @rule(who=users, arm=st.booleans())
    def run(self, who: str, arm: bool) -> None:
        self.be(who)
        before = [lease for lease in self.leases if lease.valid]
        try:
            lease = asyncio.run(lock.acquire(self.rig, "demo"))
        except (RigLockedError, RigBrokenError):
            return
        # Whoever had it before must not be able to write any more; a robbed one learns of it.
        for other in before:
            with pytest.raises(LeaseLostError):
                other.renew()
            self.leases.remove(other)
            other.forget()
        if arm:
            lease.arm()
            self.armed.add(lease.token)
        self.leases.append(lease)

    @rule(seconds=st.sampled_from([1, 3, 6]))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * S

    @rule()
    def renew(self) -> None:
        for lease in list(self.leases):
            try:
                lease.renew()
            except LeaseLostError:
                self.leases.remove(lease)

    @rule()
    def end(self) -> None:
        if self.leases:
            self.leases.pop().release()

    @rule(who=users, seconds=st.sampled_from([2, 60]))
    def reserve(self, who: str, seconds: int) -> None:
        self.be(who)
        try:
            lock.reserve(self.rig, "", seconds)
        except RigLockedError:
            return
        held = lock.reservation(self.rig)
        assert held is not None
        assert held["who"] == who

    @rule(who=users)
    def unlock(self, who: str) -> None:
        self.be(who)
        held = lock.reservation(self.rig)
        try:
            assert lock.unlock(self.rig) == (held is not None)
        except RigLockedError:
            assert held is not None
            assert held["who"] != who

    @rule(who=users)
    def steal(self, who: str) -> None:
        self.be(who)
        lock.steal(self.rig, "urgent", 30.0)
        held = lock.reservation(self.rig)
        assert held is not None
        assert held["who"] == who

    @rule()
    def clear(self) -> None:
        was = self.rig.broken
        assert self.rig.clear_broken("Grace", "looked at it") == (was is not None)

    @invariant()
    def one_at_most_could_renew(self) -> None:
        if not hasattr(self, "rig"):
            return
        token = (self.rig.read(leases.LEASE) or {}).get("token")
        alive = [lease for lease in self.leases if lease.valid and lease.token == token]
        assert len(alive) <= 1
        if self.rig.broken is not None:
            assert self.armed, "only a rig that was written to can have been left unsafe"


Rig.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_any_order = Rig.TestCase
