"""Watching the fleet: the latest state of every host, by one long poll a host.

A change on a host is known as soon as the host answers; a host that stops answering is known
after `UNREACHABLE_AFTER_S`, and at once where its machine says that nobody listens. The threads end
by themselves soon after `stop`.
"""

import threading
import time
from collections.abc import Mapping

from orchestration.allocation.reading.snapshot import UNREACHABLE_AFTER_S
from serving.clients.host import HostClient
from serving.errors import HostDown, HostError
from serving.wire import HostState

LONG_POLL_S = 1.0
RETRY_S = 0.2
FIRST_ANSWER_S = 12.0


class FleetWatch:
    """Latest host states; the owner of its clients, which it closes."""

    def __init__(self, clients: Mapping[str, HostClient]) -> None:
        self._hosts = list(clients)
        self._states: dict[str, HostState | None] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        for host, client in clients.items():
            threading.Thread(
                target=self._follow, args=(host, client), name=f"watch {host}", daemon=True
            ).start()

    def states(self) -> dict[str, HostState | None]:
        """The latest states; waits until every host was reached or given up for the first time.

        A host that neither answers nor refuses for `FIRST_ANSWER_S` is given up too.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._states) == len(self._hosts), FIRST_ANSWER_S)
            return {host: self._states.get(host) for host in self._hosts}

    def wait(self, timeout_s: float) -> None:
        """Return when a host's state has changed, or after `timeout_s`."""
        with self._changed:
            self._changed.wait(timeout_s)

    def stop(self) -> None:
        """Let the threads end; does not wait for them."""
        self._stopping.set()

    def _follow(self, host: str, client: HostClient) -> None:
        with client:
            state: HostState | None = None
            answered_at = time.monotonic()
            while not self._stopping.is_set():
                try:
                    after = state.revision if state is not None else None
                    state = client.state(after, LONG_POLL_S if state is not None else 0.0)
                    answered_at = time.monotonic()
                    self._set(host, state)
                except HostError as error:
                    silent_s = time.monotonic() - answered_at
                    if isinstance(error, HostDown) or silent_s >= UNREACHABLE_AFTER_S:
                        self._set(host, None)
                    state = None
                    self._stopping.wait(RETRY_S)

    def _set(self, host: str, state: HostState | None) -> None:
        with self._changed:
            if host in self._states and self._states[host] == state:
                return
            self._states[host] = state
            self._changed.notify_all()
