"""Dataset files that change beside a running code server, seen by a client as the pages are one."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation

from orchestration.code_server import server
from orchestration.code_server.changes import Changes, files_of
from orchestration.installation import Installation
from tests.fakes.host import wait_until
from tests.orchestration.code_servers import code_server
from tests.orchestration.declaring import an_installation, declare

BY_HAND_ONLY_S = 100_000.0


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = an_installation(tmp_path)
    monkeypatch.setenv("TURNTABLE_FLEET", made.fleet_file)
    monkeypatch.setenv("TURNTABLE_STATE", made.state_folder)
    return made


def jobs(location: GrpcServerCodeLocation) -> set[str]:
    """The jobs that a client of the server sees."""
    (repository,) = location.get_repositories().values()
    return {job.name for job in repository.get_all_jobs()}


@pytest.fixture
def origin(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GrpcServerCodeLocationOrigin]:
    """A server that started with the dataset `first` and reloads when it is told to."""
    monkeypatch.setattr(server, "LOOK_EVERY_S", BY_HAND_ONLY_S)
    declare(installation, "first")
    with code_server() as running:
        yield running


def test_a_reload_takes_files_that_came_changed_or_went(
    origin: GrpcServerCodeLocationOrigin, installation: Installation, instance: dg.DagsterInstance
) -> None:
    before = origin.create_location(instance)
    assert "first" in jobs(before)

    declare(installation, "second", description="the second")
    declare(installation, "first").unlink()
    after = origin.reload_location(instance)

    assert jobs(after) == jobs(before) - {"first"} | {"second"}
    assert after.server_id != before.server_id, "pages and daemon would not look again"
    declare(installation, "second", description="changed")
    (repository,) = origin.reload_location(instance).get_repositories().values()
    (job,) = (job for job in repository.get_all_jobs() if job.name == "second")
    assert job.description == "changed"


def test_a_broken_file_leaves_all_as_it_was_and_is_named_where_the_reload_was_asked_for(
    origin: GrpcServerCodeLocationOrigin, installation: Installation, instance: dg.DagsterInstance
) -> None:
    before = origin.create_location(instance)
    declare(installation, "second")
    broken = declare(installation, "first", model="huge")

    with pytest.raises(DagsterUserCodeUnreachableError) as caught:
        origin.reload_location(instance)

    assert str(broken) in str(caught.value.__cause__)
    assert "no 'huge'" in str(caught.value.__cause__)
    after = origin.create_location(instance)
    assert (jobs(after), after.server_id) == (jobs(before), before.server_id)
    declare(installation, "first")
    assert jobs(origin.reload_location(instance)) == jobs(before) | {"second"}


def test_a_broken_fleet_file_leaves_all_as_it_was(
    origin: GrpcServerCodeLocationOrigin, installation: Installation, instance: dg.DagsterInstance
) -> None:
    before = jobs(origin.create_location(instance))
    Path(installation.fleet_file).write_text("models: [")

    with pytest.raises(DagsterUserCodeUnreachableError) as caught:
        origin.reload_location(instance)

    assert installation.fleet_file in str(caught.value.__cause__)
    assert jobs(origin.create_location(instance)) == before


def test_files_that_come_to_rest_are_taken_unasked(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOOK_EVERY_S", 0.05)
    with code_server() as origin:
        before = origin.create_location(instance)
        declare(installation, "late")

        client = origin.create_client()
        wait_until(lambda: client.get_server_id() != before.server_id)

        assert jobs(origin.create_location(instance)) == jobs(before) | {"late"}


def test_changed_files_are_loaded_once_and_not_while_they_are_being_written(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("a")
    changes = Changes(files_of([file]))
    assert not changes.look(files_of([file]))

    file.write_text("ab")
    assert not changes.look(files_of([file]))
    file.write_text("abc")
    assert not changes.look(files_of([file]))
    assert changes.look(files_of([file]))
    assert not changes.look(files_of([file]))

    file.unlink()
    assert not changes.look(files_of([file]))
    assert changes.look(files_of([file]))
