"""The folder in which a host keeps its models' batch-size profiles, one JSON file each."""

from pathlib import Path

import msgspec
import structlog

from serving.wire import BatchSizeProfile

log = structlog.get_logger(__name__)


class ProfileFolder:
    """One small file a model, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "profiles"

    def read(self) -> list[BatchSizeProfile]:
        """All profiles kept."""
        profiles = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                profiles.append(msgspec.json.decode(file.read_bytes(), type=BatchSizeProfile))
            except msgspec.DecodeError as error:
                # Without one the cap begins from the fleet file: no reason to keep the host down.
                log.warning("a profile is unreadable", file=str(file), error=str(error))
        return profiles

    def write(self, profile: BatchSizeProfile) -> None:
        """Keep `profile` in place of the model's last one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{profile.model}.json"
        temporary = file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(profile))
        temporary.replace(file)
