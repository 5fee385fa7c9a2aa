"""Two real vLLM engines awake at once for the moment of a hotswap."""

from pathlib import Path

import pytest

from serving.wire import Finished, SwapReport
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import wait_until
from tests.fakes.real_host import RealHost, real_host

pytestmark = pytest.mark.vllm

LIMITS = {"max_model_len": 512, "kv_cache_gib": 0.25, "slots": 2, "interactive_cap": 1}
MODELS = [
    {"name": "exact", "dtype": "float32", **LIMITS},
    {"name": "half", "dtype": "bfloat16", **LIMITS},
]


def tokens(host: RealHost, model: str) -> list[int]:
    request = generate_request(f"of {model}", model, prompt=[504, 3575, 282], max_tokens=8)
    reader = Reader(host.url, host.token, request)
    assert reader.end() == Finished("length")
    return reader.tokens


def swap_that_wakes_first(host: RealHost, models: list[str]) -> SwapReport:
    """Swap there and back until memory of both is measured, then once more."""
    reports: list[SwapReport] = []

    def without_gap() -> bool:
        reports.append(host.swap(models[len(reports) % 2]))
        return next(iter(reports[-1].phases_s)) == "wake"

    wait_until(without_gap, limit_s=120.0)
    assert host.state().awake_model == reports[-1].to_model
    return reports[-1]


def test_where_both_fit_the_switch_leaves_no_gap_and_the_same_tokens(tmp_path: Path) -> None:
    with real_host(tmp_path, MODELS, starts_with="exact", host_memory_gib=5) as host:
        host.until_ready()
        before = tokens(host, "exact")
        report = swap_that_wakes_first(host, ["half", "exact"])
        assert report.outcome == "committed"
        assert report.service_gap_s == 0.0
        if report.to_model != "exact":
            assert host.swap("exact").outcome == "committed"
        assert tokens(host, "exact") == before
