"""Two real vLLM engines awake at once for the moment of a hotswap."""

from pathlib import Path

import pytest

from serving.wire import Finished
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import wait_until
from tests.fakes.real_host import RealHost, real_host

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

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


def both_measured(host: RealHost) -> bool:
    """Whether memory of both engines is known and nothing moves: before, no two wake at once."""
    state = host.state()
    return state.moving is None and set(state.engine_bytes) == {"exact", "half"}


def test_where_both_fit_the_switch_leaves_no_gap_and_the_same_tokens(tmp_path: Path) -> None:
    with real_host(tmp_path, MODELS, starts_with="exact", host_memory_gib=8) as host:
        host.until_ready()
        before = tokens(host, "exact")
        assert host.swap("half").outcome == "committed"
        wait_until(lambda: both_measured(host), limit_s=120.0)
        report = host.swap("exact")
        assert report.outcome == "committed"
        assert next(iter(report.phases_s)) == "wake"
        assert report.service_gap_s == 0.0
        assert host.state().awake_model == "exact"
        assert tokens(host, "exact") == before
