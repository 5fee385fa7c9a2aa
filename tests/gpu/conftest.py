"""GPU tests need a CUDA device and vLLM's CUDA build; elsewhere they are skipped and say why."""

import pytest
from vllm.platforms import current_platform
from vllm.utils.import_utils import import_pynvml


@pytest.fixture(scope="session", autouse=True)
def devices() -> int:
    """How many CUDA devices there are, asked of the driver: no context is made here."""
    nvml = import_pynvml()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        pytest.skip(f"no CUDA device: {error}")
    if not current_platform.is_cuda():
        pytest.skip("this vLLM is not built for CUDA")
    return int(nvml.nvmlDeviceGetCount())


@pytest.fixture(scope="session")
def two_devices(devices: int) -> None:
    """A tensor-parallel group needs two."""
    if devices < 2:
        pytest.skip(f"needs two CUDA devices, there is {devices}")
