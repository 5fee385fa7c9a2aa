"""Where a model can be measured: a host that has it awake now."""

from orchestration.allocation.reading.snapshot import host_client, read_state
from orchestration.errors import ProfileError
from orchestration.profiling.measuring import Target
from serving.config import Fleet, StateFolder
from serving.wire import HostState


def where_awake(fleet: Fleet, folder: StateFolder, model: str, wanted: str) -> HostState:
    """The state of a host that serves `model`: `wanted`, or the one with the least to do.

    Raises ProfileError when there is none, and says what to do.
    """
    names = [wanted] if wanted else [host.name for host in fleet.hosts]
    if wanted and wanted not in [host.name for host in fleet.hosts]:
        raise ProfileError(
            "there is no such host", where=f"host {wanted}", fix="Name one of the fleet file's."
        )
    serving = []
    for name in names:
        with host_client(fleet, folder, name) as client:
            state = read_state(client)
        if state is not None and state.phase == "serving" and state.awake_model == model:
            serving.append(state)
    if not serving:
        raise ProfileError(
            "it is awake on no host" if not wanted else f"it is not awake on {wanted}",
            where=f"model {model}",
            fix=f"Wake it: turntable swap {model} --host {wanted or fleet.hosts[0].name}, or an "
            "allocation run while requests for it wait.",
        )
    return min(serving, key=lambda s: s.running.interactive + s.waiting.interactive)


def target_on(fleet: Fleet, folder: StateFolder, state: HostState, model: str) -> Target:
    """The engine of `model` on the host of `state`."""
    place = fleet.host(state.host)
    return Target(
        host=state.host,
        address=place.address,
        port=place.port,
        token=folder.token("admin"),
        model=model,
        slots=state.slots,
        max_model_len=fleet.model(model).max_model_len,
    )
