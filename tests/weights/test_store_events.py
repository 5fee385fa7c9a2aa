"""The store under random events, one process after another: what is held stays, what is used is
whole, and the budget holds."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.errors import WeightsError
from serving.weights.locks import Lease
from serving.weights.store import CheckpointStore

_BUDGET_BYTES = 100
_FILES = {
    key: {"w": key.encode() * size, "shared": b"s" * 10}
    for key, size in {"a": 20, "b": 30, "c": 40, "d": 60}.items()
}
_keys = st.sampled_from(sorted(_FILES))


class StoreMachine(RuleBasedStateMachine):
    """Processes that hold, use, damage and forget checkpoints, and boots."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="turntable-store-"))
        self.boot = 0
        self.now_ns = 10**18
        self.leases: dict[str, Lease] = {}

    def teardown(self) -> None:
        for lease in self.leases.values():
            lease.release()
        shutil.rmtree(self.root)

    def _store(self) -> CheckpointStore:
        return CheckpointStore(self.root, boot=str(self.boot))

    def _ensure(self, key: str) -> Lease | None:
        """A lease of the checkpoint, verified; None if it was refused."""

        def make(folder: Path) -> None:
            for name, content in _FILES[key].items():
                (folder / name).write_bytes(content)

        store = self._store()
        lease = store.lease(key)
        try:
            store.ensure(key, make, lambda _sentence: None, _BUDGET_BYTES)
        except WeightsError:
            lease.release()
            needed = {n: len(c) for k in {*self.leases, key} for n, c in _contents(k).items()}
            assert sum(needed.values()) > _BUDGET_BYTES, "it was refused though it fits"
            return None
        assert {name: (lease.path / name).read_bytes() for name in _FILES[key]} == _FILES[key]
        return lease

    @rule(key=_keys)
    def use(self, key: str) -> None:
        lease = self._ensure(key)
        if lease is not None:
            lease.release()

    @rule(key=_keys)
    def hold(self, key: str) -> None:
        if key not in self.leases and (lease := self._ensure(key)) is not None:
            self.leases[key] = lease

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.leases.pop(data.draw(st.sampled_from(sorted(self.leases)))).release()

    @rule(key=_keys, name=st.sampled_from(["w", "shared"]), seen=st.booleans())
    def damage(self, key: str, name: str, seen: bool) -> None:
        """Of what nobody holds; damage that changes no time comes with a boot."""
        file = self.root / key / name
        if file.exists() and not self.leases:
            blob, before = file.resolve(), file.stat()
            blob.write_bytes(b"x" * before.st_size)
            self.now_ns += 10**9
            os.utime(blob, ns=(self.now_ns, self.now_ns if seen else before.st_mtime_ns))
            self.boot += not seen

    @rule()
    def reboot(self) -> None:
        self.boot += 1

    @rule(key=_keys)
    def lose_the_folder(self, key: str) -> None:
        if key not in self.leases and (self.root / key).exists():
            shutil.rmtree(self.root / key)

    @invariant()
    def what_is_held_is_whole(self) -> None:
        for key, lease in self.leases.items():
            assert {n: (lease.path / n).read_bytes() for n in _FILES[key]} == _FILES[key]

    @invariant()
    def the_budget_holds(self) -> None:
        blobs = self.root / ".store" / "blobs"
        if blobs.exists():
            assert sum(blob.stat().st_size for blob in blobs.iterdir()) <= _BUDGET_BYTES


def _contents(key: str) -> dict[str, bytes]:
    return {"shared": b"s" * 10, key: _FILES[key]["w"]}


TestStoreEvents = StoreMachine.TestCase
TestStoreEvents.settings = settings(max_examples=40, stateful_step_count=25)
