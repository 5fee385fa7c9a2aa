"""The same batch rows in float32, once alone and once beside interactive bursts.

Speed is measured in the fleet's own data type, but there greedy tokens depend on what else is in
the batch. In float32 they do not, so every row must come out the same, once, and whole.
"""

from benchmarks.coserve.arms import Arms
from benchmarks.coserve.recorded import read_recorded
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.coserve.workload import SIZES, bursts
from benchmarks.streams import Question

_ROWS = 24
_ROW_TOKENS = 48
_BURSTS = 2
_BURST_TOKENS = 32
_SEED = 99


def compare_rows(arms: Arms) -> None:
    """Run both, and note the evictions that the rows went through."""
    instance, found = arms.instance, arms.samples.rows
    model = instance.fleets.exact
    endpoint = instance.awake(model.name)
    rows = [Question(text, _ROW_TOKENS) for text in arms.texts[:_ROWS]]
    arrivals = bursts(SIZES[-1], arms.texts, _SEED, number=_BURSTS, mean_tokens=_BURST_TOKENS)
    for name in ("rows-alone", "rows-disturbed"):
        disturbed = name == "rows-disturbed"
        load = Load(
            name,
            arrivals if disturbed else (),
            batch=iter(rows),
            batch_streams=_ROWS,
            slots=model.slots,
            to_the_end=True,
        )
        segment = run_segment(endpoint, load)
        instance.wait_idle()
        if disturbed:
            found.disturbed = segment.batch
            recorded = read_recorded(instance.reader, name, segment, instance.gateway)
            found.evictions = recorded.evictions
        else:
            found.undisturbed = segment.batch
