"""What a study assumes: how fast engines are, how long swaps take, what counts as good service."""

from pathlib import Path

import msgspec

from simulation.cores import SharedCores
from simulation.errors import AssumptionsUnusable


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of engine for all models, as a JSON file may give it.

    The defaults are an 8-billion-parameter model in bfloat16 on one A100 (80 GB) by its roofline:
    a step reads 16 GB of weights at 1.6 TB/s, and a prompt token costs 16 GFLOP at half of
    312 TFLOP/s; a generation of 1,000 tokens adds its 128 MB of KV cache to a step. Swaps: 16 GB
    at 25 GB/s from host RAM, asleep or parked, and 3 GB/s from a disk.
    """

    step_s: float = 0.0105
    token_s: float = 0.0001
    prefill_token_s: float = 0.0001
    chunk_tokens: int = 512
    slots: int = 128
    swap_asleep_s: float = 0.7
    swap_disk_s: float = 6.0
    models_in_host_memory: int = 10
    """How many models a host can keep asleep."""
    reaction_s: float = 1.0
    """From a plan to its hotswap commands, as `turntable bench reaction` measures it on two cores:
    a run's start, its snapshot and plan, and its op (0.83 s by their medians, 1.07 s by p95)."""
    hosts_per_machine: int = 1
    slower_beside: float = 0.0
    """By how much of its time alone an engine takes longer for each other host of its machine that
    computes: hosts that share a machine's cores."""
    ttft_s: float = 2.0
    tpot_s: float = 0.1

    @property
    def shared_cores(self) -> SharedCores | None:
        """None if no host is slower beside others."""
        if self.hosts_per_machine < 2 or not self.slower_beside:
            return None
        return SharedCores(self.hosts_per_machine, self.slower_beside)


def read_assumptions(path: Path) -> Assumptions:
    """Read them from a JSON file. Raises AssumptionsUnusable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Assumptions)
    except (OSError, msgspec.DecodeError) as error:
        raise AssumptionsUnusable(
            str(error),
            where=str(path),
            fix=f"A JSON object with any of: {', '.join(Assumptions.__struct_fields__)}.",
        ) from error
