"""Validating inputs: every bad line is found in one pass, and good lines can be read by number."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batches import BatchError, IndexWriter, InputLines, validation, window_s
from tests.batches.samples import jsonl, line, validated


def found(content: bytes) -> list[tuple[int | None, str]]:
    return [(error.line, error.code) for error in validated(content).errors]


def test_a_good_input_has_a_size_and_no_errors() -> None:
    lines = [line("a"), line("b"), line("c", body={"model": "small", "messages": []})]
    bodies = [json.dumps(each["body"]) for each in lines]

    report = validated(jsonl(*lines))

    assert report.errors == ()
    assert report.size is not None
    assert (report.size.model, report.size.lines) == ("small", 3)
    assert (report.size.max_output_tokens, report.size.unbounded_lines) == (10, 1)
    assert report.size.body_bytes == sum(map(len, bodies))


def test_a_bound_by_the_name_of_another_endpoint_bounds_nothing() -> None:
    report = validated(jsonl(line("a", body={"model": "small", "max_output_tokens": 10**400})))

    assert report.size is not None
    assert (report.size.max_output_tokens, report.size.unbounded_lines) == (0, 1)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"{not json}\n", "invalid_json_line"),
        (b"[1]\n", "invalid_json_line"),
        (b'"text"\n', "invalid_json_line"),
        (b'{"custom_id": "\xff"}\n', "invalid_json_line"),
        (line(...), "missing_custom_id"),
        (line(""), "missing_custom_id"),
        (line(7), "missing_custom_id"),
        (line("x" * 513), "invalid_custom_id"),
        (line("b", method="GET"), "invalid_method"),
        (line("b", method=...), "invalid_method"),
        (line("b", url="/v1/completions"), "invalid_url"),
        (line("b", url=...), "invalid_url"),
        (line("b", body=...), "invalid_body"),
        (line("b", body=[1]), "invalid_body"),
        (line("b", model=None), "missing_model"),
        (line("b", model="nobody"), "model_not_found"),
        (line("b", model="large"), "mismatched_model"),
        (line("a"), "duplicate_custom_id"),
    ],
)
def test_a_bad_line_is_named(bad: Any, code: str) -> None:
    content = jsonl(line("a"), bad, line("z"))

    assert (2, code) in found(content)
    assert {number for number, _ in found(content)} == {2}


def test_every_bad_line_is_found_at_once() -> None:
    content = jsonl(line("a"), b"oops\n", line("a"), line("b"), line("c", model="nobody"), b"{")

    assert found(content) == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (5, "model_not_found"),
        (6, "invalid_json_line"),
    ]


def test_everything_that_is_wrong_with_a_line_is_said() -> None:
    content = jsonl(line("", method="GET", url="/v1/other", model="nobody"))

    codes = [code for _, code in found(content)]

    assert codes == ["missing_custom_id", "invalid_method", "invalid_url", "model_not_found"]


def test_what_the_endpoint_would_refuse_is_an_error_of_the_line() -> None:
    def check(body: bytes) -> BatchError | None:
        refused = json.loads(body).get("max_tokens") == -1
        return BatchError(code="c", message="m", param="body.max_tokens") if refused else None

    bad = line("b", body={"model": "small", "max_tokens": -1})

    report = validated(jsonl(line("a"), bad), check)

    assert report.errors == (BatchError(code="c", message="m", line=2, param="body.max_tokens"),)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n  \n\r\n"])
def test_an_input_without_lines_is_refused(content: bytes) -> None:
    assert found(content) == [(None, "empty_file")]


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_LINES", 2)

    assert validated(jsonl(line("a"), line("b"))).errors == ()
    assert found(jsonl(line("a"), line("b"), line("c"))) == [(None, "too_many_lines")]


def test_a_line_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_LINE_BYTES", 400)
    monkeypatch.setattr(validation, "_SKIP_BYTES", 100)
    long = line("b", body={"model": "small", "x": "y" * 5000})

    assert found(jsonl(line("a"), long, line("c", model="nobody"))) == [
        (2, "line_too_long"),
        (3, "model_not_found"),
    ]


@pytest.mark.parametrize("place", ["custom_id", "body", "other"])
def test_a_line_that_is_nested_too_deep_for_any_decoder_is_named_and_costs_no_other(
    place: str,
) -> None:
    deep = b'{"%s": %s}\n' % (place.encode(), b"[" * 100_000 + b"]" * 100_000)

    assert found(jsonl(line("a"), deep, line("a"))) == [(2, "too_deep"), (3, "duplicate_custom_id")]


def test_brackets_of_a_text_are_no_nesting() -> None:
    body = {"model": "small", "text": '"[{' * 500 + "\\", "list": [[]] * 500}

    assert found(jsonl(line("a", body=body))) == []


def test_a_byte_order_mark_is_none_of_the_first_line(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + jsonl(line("a"), line("b"))
    (tmp_path / "in.jsonl").write_bytes(content)
    index = IndexWriter()

    assert validated(content, index=index).errors == ()
    index.save(tmp_path / "index")
    with InputLines(tmp_path / "in.jsonl", tmp_path / "index") as lines:
        assert [read.custom_id for _, read in lines.read()] == ["a", "b"]
    assert found(b"\xef\xbb\xbf") == [(None, "empty_file")]


def test_blank_lines_count_for_line_numbers_only() -> None:
    content = jsonl(b"\n", line("a"), b"  \n", line("a"))

    assert found(content) == [(4, "duplicate_custom_id")]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(sent=st.lists(texts, min_size=1, max_size=8), data=st.data())
def test_lines_are_read_by_number_as_they_were_written(
    sent: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("lines")
    gaps = st.sampled_from([b"", b"\n", b" \r\n"])
    lines = [line(f"id {n}", body={"model": "small", "x": x}) for n, x in enumerate(sent)]
    content = b"".join(data.draw(gaps) + jsonl(each) for each in lines)
    content = content if data.draw(st.booleans()) else content.rstrip(b"\n")
    (folder / "input").write_bytes(content)
    index = IndexWriter()
    assert validated(content, index=index).errors == ()
    index.save(folder / "lines")
    first = data.draw(st.integers(0, len(lines)))
    last = data.draw(st.integers(first, len(lines)))

    with InputLines(folder / "input", folder / "lines") as read:
        assert len(read) == len(lines)
        for number, got in read.read(first, last):
            assert got.custom_id == f"id {number}"
            assert json.loads(bytes(got.body)) == {"model": "small", "x": sent[number]}
        assert [number for number, _ in read.read(first, last)] == list(range(first, last))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("6h", 21600), ("30m", 1800), ("90s", 90), ("1440m", 86400)],
)
def test_windows_up_to_a_day_are_understood(text: str, seconds: int) -> None:
    assert window_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "0h", "25h", "1d", "24 h", "-1h", "1.5h", "24h\n", "٣h"])
def test_other_windows_are_not(text: str) -> None:
    assert window_s(text) is None
