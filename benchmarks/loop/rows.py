"""From samples to rows. Pure."""

from benchmarks.figures import Row, Target
from benchmarks.loop.chat_load import STREAMS
from benchmarks.loop.samples import ChatSamples, LoopSamples
from benchmarks.reaction.rows import switch_rows
from benchmarks.statistics import mean, median, quantile, ratio

START_TARGET = Target("<=", 60.0)
"""A prepared clone answers within a minute of pressing enter, in every round."""


def rows_of(samples: LoopSamples) -> list[Row]:
    """Every figure of the benchmark, in the order in which people ask for them."""
    ours, stock = samples.turntable, samples.stock
    return [
        *_start(ours, stock),
        *_shifts(samples),
        *_chat("1 stream", _single(ours), _single(stock)),
        *_chat(f"{STREAMS} streams", _side_by_side(ours), _side_by_side(stock)),
    ]


def _start(ours: ChatSamples, stock: ChatSamples) -> list[Row]:
    slowest = max(ours.first_token_s, default=float("nan"))
    return [
        Row("start to first token, slowest round", slowest, "s", START_TARGET),
        Row("start to first token, mean", mean(ours.first_token_s), "s"),
        Row("start to everything ready, mean", mean(ours.all_ready_s), "s"),
        Row("start to first token, stock server, mean", mean(stock.first_token_s), "s"),
        Row(
            "start to first token, turntable / stock",
            ratio(ours.first_token_s, stock.first_token_s),
            "ratio",
        ),
    ]


def _shifts(samples: LoopSamples) -> list[Row]:
    first_tokens = [shift.first_token_s for shift in samples.shifts]
    hotswaps = [shift.timeline.parts.hotswap_s for shift in samples.shifts]
    return [
        Row("traffic shift to first token, p50", median(first_tokens), "s"),
        Row("traffic shift to first token, max", quantile(first_tokens, 1.0), "s"),
        Row("traffic shifts", len(first_tokens), "count"),
        Row("hotswap, p50", median(hotswaps), "s"),
        *switch_rows("traffic shift to first token by a switch within a grant", samples.switched),
    ]


TtftAndRate = tuple[list[float], list[float]]


def _single(samples: ChatSamples) -> TtftAndRate:
    answers = samples.single
    return [a.ttft_s for a in answers], [a.tokens_per_s for a in answers]


def _side_by_side(samples: ChatSamples) -> TtftAndRate:
    ttft_s = [answer.ttft_s for load in samples.side_by_side for answer in load.answers]
    return ttft_s, [load.tokens_per_s for load in samples.side_by_side]


def _chat(streams: str, ours: TtftAndRate, stock: TtftAndRate) -> list[Row]:
    (our_ttft_s, our_rates), (stock_ttft_s, stock_rates) = ours, stock
    return [
        Row(f"chat TTFT p50, {streams}, turntable", median(our_ttft_s), "s"),
        Row(f"chat TTFT p50, {streams}, stock server", median(stock_ttft_s), "s"),
        Row(
            f"chat TTFT p50, {streams}, turntable / stock", ratio(our_ttft_s, stock_ttft_s), "ratio"
        ),
        Row(f"chat output, {streams}, turntable", median(our_rates), "tokens/s"),
        Row(f"chat output, {streams}, stock server", median(stock_rates), "tokens/s"),
        Row(f"chat output, {streams}, turntable / stock", ratio(our_rates, stock_rates), "ratio"),
    ]
