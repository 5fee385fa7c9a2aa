"""Which requests kill engines: what the deaths of engines say against a generation. Pure.

An engine seldom dies of a request, and a host may be killed at any moment, so a death by itself
says little. What gives a poison request away is that engines die of it *at the same place*: having
gone on elsewhere it gets no further. Whoever only ran beside it gets on as soon as they run apart.

A host that is gone says less than an engine that died on a host which lives to tell: machines and
pods are restarted, drained and cut off, while poison seldom takes more than its engine along.
"""

import msgspec

GOT_ON_TOKENS = 16
"""Who got so many tokens beyond where engines died is cleared of those deaths."""
HOST_DEATH = 0.5
"""What the death of a whole host counts, against that of an engine."""
SUSPECT_DEATHS = 2
"""From so many deaths at one place on, a generation is tried with no other suspect beside it."""
ALONE_DEATHS = 3
"""From so many on, it is tried with nothing else on its engine."""
MOST_DEATHS = 5
"""So many in whatever company are enough, where it never could be alone."""


class Suspicion(msgspec.Struct, frozen=True, array_like=True):
    """What is held against one generation. The innocent have none."""

    deaths: int = 0
    """Of engines it ran on, at one place."""
    alone: float = 0
    """What those of them count in which nothing else ran on the engine."""
    at_tokens: int = 0
    """The place: the most tokens it had in them."""
    last_alone: bool = False
    weight: float = 0
    """What all of them count."""

    def died(self, *, at_tokens: int, company: int, host_gone: bool = False) -> "Suspicion":
        """Its engine died while it and `company` others ran there, with so many tokens made.

        `host_gone`: with its host, so that nobody says what died.
        """
        cleared = self.got_to(at_tokens)
        alone, counts = company == 0, HOST_DEATH if host_gone else 1
        return Suspicion(
            deaths=cleared.deaths + 1,
            alone=cleared.alone + alone * counts,
            at_tokens=max(at_tokens, cleared.at_tokens),
            last_alone=alone,
            weight=cleared.weight + counts,
        )

    def got_to(self, tokens: int) -> "Suspicion":
        """It has so many tokens now: who got far beyond the deaths did not cause them."""
        if self.deaths and tokens >= self.at_tokens + GOT_ON_TOKENS:
            return INNOCENT
        return self

    @property
    def is_suspect(self) -> bool:
        """Whether it has to be tried apart from other suspects."""
        return self.weight >= SUSPECT_DEATHS

    @property
    def needs_engine_alone(self) -> bool:
        """Whether nothing else may run beside it, for its trial to say anything."""
        return self.weight >= ALONE_DEATHS

    @property
    def is_poison(self) -> bool:
        """Whether it is refused for good.

        It ran alone in two deaths of engines; or in the last of three; or there were too many.
        """
        thrice = self.weight >= ALONE_DEATHS and self.last_alone
        return self.alone >= SUSPECT_DEATHS or thrice or self.weight >= MOST_DEATHS


INNOCENT = Suspicion()
