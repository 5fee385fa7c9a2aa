"""Seeded requests on a CPU, whose generators cannot be set back by an offset."""

from types import SimpleNamespace

import numpy as np
import torch

from serving.engine.vllm.cpu_worker import without_draws_of_parts


def test_a_part_of_a_prompt_draws_no_random_number_of_its_request() -> None:
    whole, part = torch.Generator(), torch.Generator()
    generators = {0: whole, 2: part}
    runner = SimpleNamespace(
        input_batch=SimpleNamespace(generators=generators),
        discard_request_mask=SimpleNamespace(np=np.array([False, True, True, False])),
    )

    with without_draws_of_parts(runner):
        assert generators == {0: whole}  # what the sampler draws from, and what is set back

    assert generators == {0: whole, 2: part}
