"""Frames survive any cut of the byte stream, and what is not a frame is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import WireError
from serving.wire import (
    Admitted,
    Failed,
    Finished,
    FrameDecoder,
    HandedBack,
    TokenLogprobs,
    Tokens,
    check_wire_version,
    encode_frame,
)

token_ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=8)
logprobs = st.builds(
    TokenLogprobs, token_ids, st.lists(st.floats(-50, 0, width=32)), st.integers(1, 100)
)
frames = st.one_of(
    st.builds(Admitted, host=st.text(max_size=8), queue_s=st.floats(0, 60)),
    st.builds(Tokens, token_ids=token_ids, logprobs=st.none() | st.lists(logprobs, max_size=3)),
    st.builds(Finished, reason=st.sampled_from(["stop", "length"])),
    st.builds(HandedBack, reason=st.sampled_from(["evicted", "hotswap"])),
    st.builds(Failed, message=st.text(max_size=20), retryable=st.booleans()),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(
    sent: list, cuts: list[int]
) -> None:
    data = b"".join(encode_frame(frame) for frame in sent)
    decoder = FrameDecoder(peer="host-0")
    received = []
    position = 0
    for index in range(len(data)):
        size = cuts[index % len(cuts)]
        received += decoder.feed(data[position : position + size])
        position += size
    assert received == sent


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request", b"\x00\x00\x00\x02\xc1\xc1"])
def test_bytes_that_are_no_frame_name_the_peer(data: bytes) -> None:
    with pytest.raises(WireError, match="host-7"):
        list(FrameDecoder(peer="host-7").feed(data))


@pytest.mark.parametrize("theirs", ["0", "1", None])
def test_another_wire_version_is_refused_by_name(theirs: str | None) -> None:
    with pytest.raises(WireError, match="speaks wire version"):
        check_wire_version(theirs, peer="host-0")
