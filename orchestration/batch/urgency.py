"""When a row of a batch is due, and how many places a batch needs to be in time. Pure.

A batch is in time if each place of its window, one row after the other, is. So a row is due when
its share of the time left is over: far off while there is time for all, and nearer and nearer as
the batch falls behind. The engine protects a generation that its due time no longer suits, within
the share of places that protected ones have (`serving.engine.decisions.holding`): so one that is
late gets slots beside interactive work, and one that is in time gets none for nothing.

Open rows that are due so say at what rate they must be answered: the sum of one by the seconds
until each is due. The gateway tells that sum over all works of a model (`due_per_s` of
`GET /fleet`), so every run knows what the others need beside it (`window.entitled`).
"""

SHORTEST_S = 1.0


def due_in_s(left_s: float, rows_left: int, window: int) -> float:
    """Seconds in which a row that is asked now is to be answered.

    `left_s`: until the whole is due; `rows_left`: without an outcome, those open included;
    `window`: how many are open at once.
    """
    rounds = max(1.0, rows_left / max(1, window))
    return max(SHORTEST_S, left_s / rounds)


def needed_places(due_per_s: float, row_s: float) -> float:
    """How many rows are open at once when so many are answered a second, each after `row_s`.

    Little's law: J. D. C. Little, A Proof for the Queuing Formula L = λW (1961).
    """
    return due_per_s * row_s
