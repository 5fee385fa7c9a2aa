"""Exchange: which seats are given up for which, where a move gains more than it costs. Pure.

Seats that are held stay unless a better one takes their host. What is promised (a minimum, no model
without any replica while requests wait) is worth every move; more for load is worth one when the
work it brings in time over the horizon exceeds that of the seat given up, the swap and what it
disturbs. Gains are taken cautiously and losses too (`seats.CAUTION`), so noise moves nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from orchestration.allocation.choosing.room import Room
from orchestration.allocation.choosing.seats import Rank, Seat
from orchestration.allocation.placing.move_cost import MoveCost
from orchestration.allocation.pool import Place

MOVE_S = 2.0
"""Of every move, in replica-seconds: what a run of the control plane and a colder cache cost."""


_PROMISED = (Rank.MINIMUM, Rank.WAITING, Rank.BATCH_FIRST)


class Exchange:
    """The seats that are kept, as better ones take their hosts."""

    def __init__(
        self, held: Iterable[Seat], hosts: Sequence[Place], cost: MoveCost, horizon_s: float
    ) -> None:
        """`held` are seats of `hosts`, all of which may be moved."""
        self._cost, self._horizon_s = cost, horizon_s
        self.room = Room(hosts)
        self.vacant = len(hosts)
        self._kept: dict[str, list[Seat]] = defaultdict(list)
        self._hosts: dict[str, list[Place]] = defaultdict(list)
        self._cheapest: dict[tuple[str, str], tuple[float, float]] = {}
        for host in hosts:
            if host.dedicated_to is not None:
                self._hosts[host.dedicated_to].append(host)
        for seat in sorted(held, key=lambda seat: seat.number):
            if self.room.take((seat.model,)):
                self._kept[seat.model].append(seat)
                self.vacant -= 1

    @property
    def seats(self) -> list[Seat]:
        """All that have a host now."""
        return [seat for seats in self._kept.values() for seat in seats]

    def share(self, grant: tuple[str, ...]) -> bool:
        """Take a host for a shared set, the least valuable one; False if there is none to take."""
        while self.vacant <= 0 or not self.room.take(grant):
            losses = [seat for seat in self._losable() if seat.rank < Rank.MINIMUM]
            if not losses:
                return False
            self._give_up(min(losses, key=lambda seat: seat.worth))
        self.vacant -= 1
        return True

    def gain(self, seat: Seat) -> bool:
        """Give `seat` a host if that is worth it."""
        if self.vacant > 0 and self.room.take((seat.model,)):
            self._keep(seat)
            return True
        loss = self._victim(seat)
        if loss is None:
            return False
        self._give_up(loss)
        if self.room.take((seat.model,)):
            self._keep(seat)
            return True
        self._take_back(loss)
        return False

    def _victim(self, gain: Seat) -> Seat | None:
        """The seat whose loss costs least, if it is worth less than `gain`."""
        lasts = [seat for seat in self._losable() if seat.model != gain.model]
        least = min((seat.rank for seat in lasts), default=gain.rank)
        losses = [seat for seat in lasts if seat.rank is least and seat.worth < gain.worth]
        loss = min(losses, key=lambda seat: self._loss_s(seat, gain), default=None)
        return loss if loss is not None and self._pays(gain, loss) else None

    def _losable(self) -> list[Seat]:
        """The last seat of every model."""
        return [seats[-1] for seats in self._kept.values() if seats]

    def _loss_s(self, loss: Seat, gain: Seat) -> float:
        swap_s, disturbed_s = self._cheapest_move(loss.model, gain.model)
        return loss.gain * self._horizon_s + swap_s + disturbed_s

    def _pays(self, gain: Seat, loss: Seat) -> bool:
        if gain.rank in _PROMISED or loss.rank is Rank.OVER_MAXIMUM:
            return True
        swap_s, disturbed_s = self._cheapest_move(loss.model, gain.model)
        lost = loss.gain * (self._horizon_s + swap_s) + disturbed_s
        return gain.gain * self._horizon_s > MOVE_S + lost

    def _cheapest_move(self, loser: str, winner: str) -> tuple[float, float]:
        """Seconds of swap and of disturbed work for the host that is given away most cheaply."""
        if (loser, winner) not in self._cheapest:
            self._cheapest[loser, winner] = min(
                (
                    (self._cost.swap_s(host, winner), self._cost.disturbed_s(host))
                    for host in self._hosts[loser]
                ),
                key=sum,
                default=(0.0, 0.0),
            )
        return self._cheapest[loser, winner]

    def _keep(self, seat: Seat) -> None:
        self._kept[seat.model].append(seat)
        self.vacant -= 1

    def _give_up(self, seat: Seat) -> None:
        self._kept[seat.model].remove(seat)
        self.room.release((seat.model,))
        self.vacant += 1

    def _take_back(self, seat: Seat) -> None:
        self.room.take((seat.model,))
        self._keep(seat)
