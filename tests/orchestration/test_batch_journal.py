"""The journal of a shard, and what becomes of it when processes and machines die."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.batch.asks import Outcome, RowError, Tokens, key_of
from orchestration.batch.joining import join
from orchestration.batch.journal import Journal
from orchestration.batch.submitted import CANCELLED
from orchestration.errors import PartitionBusy

LINES = 12


def answered(key: int, text: str = "yes") -> Outcome:
    body = msgspec.Raw(json.dumps({"said": f"{text} {key}"}).encode())
    return Outcome(
        key=key,
        custom_id=f"row-{key}",
        status=200,
        request_id="r",
        body=body,
        tokens=Tokens(prompt=1, completion=2),
    )


def refused(key: int) -> Outcome:
    return Outcome(key=key, custom_id=f"row-{key}", error=RowError("bad", "no"))


def joined(journal: Journal) -> tuple[bytes, bytes]:
    output, errors = io.BytesIO(), io.BytesIO()
    lines = ((key, f"row-{key}", journal.read(key)) for key in range(LINES))
    join("batch_1", lines, CANCELLED, output, errors)
    return output.getvalue(), errors.getvalue()


def test_no_reader_of_lines_breaks_a_record_at_what_somebody_said() -> None:
    said = "a\x85b\u2028c\u2029d\x1ee"
    body = msgspec.Raw(msgspec.json.encode({"content": said}))
    outcome = Outcome(key=0, custom_id=said, status=200, request_id="r", body=body)
    output = io.BytesIO()

    join("batch_1", [(0, said, outcome)], CANCELLED, output, io.BytesIO())

    (line,) = output.getvalue().decode().splitlines()  # as the openai client's iter_lines does
    record = json.loads(line)
    assert record["custom_id"] == record["response"]["body"]["content"] == said


@given(
    deaths=st.lists(
        st.tuples(st.permutations(range(LINES)), st.integers(0, LINES), st.floats(0, 1)),
        max_size=5,
    )
)
def test_whatever_a_death_leaves_of_the_file_every_line_is_delivered_once(
    deaths: list[tuple[list[int], int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "shard"
    for order, done, left in deaths:
        with Journal(path) as journal:
            for key in [key for key in order if key not in journal][:done]:
                journal.add(answered(key))
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * left))

    with Journal(path) as journal:
        for key in range(LINES):
            if key not in journal:
                journal.add(answered(key))
        output, errors = joined(journal)
        tokens = journal.tokens

    undisturbed = path.with_name("undisturbed")
    with Journal(undisturbed) as journal:
        for key in range(LINES):
            journal.add(answered(key))
        assert (output, errors) == joined(journal)
    assert tokens == Tokens(prompt=LINES, completion=2 * LINES)
    assert [json.loads(line)["custom_id"] for line in output.splitlines()] == [
        f"row-{key}" for key in range(LINES)
    ]


def test_what_follows_a_damaged_line_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    with Journal(path) as journal:
        for key in range(3):
            journal.add(answered(key))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 10 + b"\n" + lines[2])

    with Journal(path) as journal:
        assert [key for key in range(3) if key in journal] == [0]
        journal.add(answered(1))
    with Journal(path) as journal:
        assert [key for key in range(3) if key in journal] == [0, 1]


def test_the_first_answer_counts_and_an_error_until_there_is_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "shard") as journal:
        assert journal.add(refused(1))
        assert journal.failed == 1
        assert journal.add(answered(1, "first"))
        assert not journal.add(answered(1, "second"))
        assert journal.failed == 0

    with Journal(tmp_path / "shard") as journal:
        found = journal.read(1)
        assert found is not None
        assert b"first 1" in bytes(found.body)
        assert (len(journal), journal.failed) == (1, 0)


def test_lines_that_did_not_run_are_accounted_for_by_name(tmp_path: Path) -> None:
    with Journal(tmp_path / "shard") as journal:
        journal.add(answered(3))
        journal.add(refused(4))
        output, errors = joined(journal)

    (done,) = map(json.loads, output.splitlines())
    assert done["response"] == {"status_code": 200, "request_id": "r", "body": {"said": "yes 3"}}
    assert done["error"] is None
    failures = {line["custom_id"]: line for line in map(json.loads, errors.splitlines())}
    assert len(failures) == LINES - 1
    assert failures["row-4"]["error"] == {"code": "bad", "message": "no"}
    assert failures["row-5"]["error"]["code"] == "batch_cancelled"
    assert failures["row-5"]["response"] is None
    assert len({line["id"] for line in failures.values()} | {done["id"]}) == LINES


def test_one_process_at_a_time_holds_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "shard"), pytest.raises(PartitionBusy), Journal(tmp_path / "shard"):
        pass


def test_a_key_follows_what_is_asked() -> None:
    assert key_of(b"id", b"question") == key_of(b"id", b"question")
    assert key_of(b"id", b"question") != key_of(b"id", b"another")
    assert key_of(b"a", b"bc") != key_of(b"ab", b"c")
