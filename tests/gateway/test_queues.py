"""What waits for each model, as the gateway counts it."""

from serving.gateway.moving import PrefillRates
from serving.gateway.queues import Queues, Waiting


def queues(**prefilled_tokens_per_s: float) -> Queues:
    rates = PrefillRates()
    for model, rate in prefilled_tokens_per_s.items():
        rates.seen(model, 1000, 1000 / rate)
    return Queues(rates)


def waiting(line: Queues, model: str = "m") -> Waiting | None:
    return next((found for found in line.waiting() if found.model == model), None)


def test_a_generation_waits_until_a_host_has_it_and_again_when_it_is_handed_back() -> None:
    line, seen = queues(), []
    with line.place("m", "interactive", lambda: 10) as place:
        seen.append(waiting(line))
        place.taken("a")
        seen.append(waiting(line))
        place.wait()
        seen.append(waiting(line))

    assert [found and found.interactive for found in seen] == [1, 0, 1]
    assert waiting(line) is None


def test_classes_are_counted_apart_and_the_first_one_says_how_long() -> None:
    line = queues()
    with line.place("m", "batch", lambda: 10), line.place("m", "batch", lambda: 10):
        with line.place("m", "interactive", lambda: 10):
            found = waiting(line)
            assert found is not None
            assert (found.interactive, found.batch) == (1, 2)
            assert found.batch_wait_s >= found.interactive_wait_s >= 0
        found = waiting(line)
        assert found is not None
        assert (found.interactive, found.interactive_wait_s) == (0, 0)


def test_prompts_without_a_first_token_are_work_wherever_they_are() -> None:
    line = queues(m=100)
    with (
        line.place("m", "interactive", lambda: 200) as first,
        line.place("m", "interactive", lambda: 100),
    ):
        first.taken("a")
        found = waiting(line)
        assert found is not None
        assert (found.prompt_work_s, line.unanswered("a")) == (3.0, 1)

        first.answered()
        first.answered()

        found = waiting(line)
        assert found is not None
        assert (found.prompt_work_s, line.unanswered("a")) == (1.0, 0)


def test_how_fast_prompts_are_is_not_known_before_one_was_seen() -> None:
    line = queues()
    with line.place("m", "interactive", lambda: 200):
        found = waiting(line)
        assert found is not None
        assert found.prompt_work_s == 0.0


def test_the_fastest_prefill_counts_since_a_slow_one_shared_its_engine() -> None:
    line = queues(m=100)
    for _ in range(3):
        line._rates.seen("m", 1000, 1000 / 20)
    with line.place("m", "interactive", lambda: 94):
        found = waiting(line)
        assert found is not None
        assert 0.9 < found.prompt_work_s < 1.1


def test_what_answered_ones_would_compute_again_is_known_by_host() -> None:
    line, tokens = queues(m=100), [200]
    with line.place("m", "interactive", lambda: tokens[0]) as place:
        place.taken("a")
        assert line.resume_s("a") == 0, "its prompt is not computed yet"
        place.answered()
        tokens[0] += 50
        assert (line.resume_s("a"), line.resume_s("b")) == (2.5, 0)
        place.taken("b")
        assert (line.resume_s("a"), line.resume_s("b")) == (0, 2.5)
    assert line.resume_s("b") == 0


def test_batch_prompts_are_no_interactive_work() -> None:
    line = queues(m=100)
    with line.place("m", "batch", lambda: 200) as place:
        place.taken("a")
        assert waiting(line) is None
        assert line.unanswered("a") == 0


def test_whoever_switches_hosts_hears_of_every_change() -> None:
    line, told = queues(), []
    line.on_change(lambda: told.append(1))
    with line.place("m", "interactive", lambda: 10) as place:
        place.taken("a")
        place.answered()
    assert len(told) == 3, "it waits, is answered, ends"
