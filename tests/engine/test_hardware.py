"""What a host says of the hardware that its engines compute on."""

import pytest

from serving.config.fleet import HostSettings
from serving.engine.hardware import hardware


@pytest.mark.parametrize(
    ("cores", "said"), [("0", "1 core"), ("0-3", "4 cores"), ("1,3-4", "3 cores")]
)
def test_a_processor_is_named_with_the_cores_of_the_engine(cores: str, said: str) -> None:
    assert hardware(HostSettings(name="h-0", port=8101, cpu_cores=cores)).endswith(f", {said}")


def test_every_core_counts_where_none_are_named() -> None:
    assert "core" in hardware(HostSettings(name="h-0", port=8101))


def test_devices_are_counted() -> None:
    said = hardware(HostSettings(name="h-0", port=8101, accelerator="cuda", devices=[0, 1]))

    assert said.startswith("2 x ")
