"""`python -m serving.engine --fleet FILE --state DIR --host NAME`: run one engine host."""

import argparse
import sys
from pathlib import Path

from serving.config import load_fleet
from serving.engine.process.main import run
from serving.errors import TurntableError
from serving.logs import configure_logging


def main() -> int:
    """Parse the arguments and run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.engine", description=__doc__)
    parser.add_argument("--fleet", type=Path, required=True, help="the fleet file")
    parser.add_argument("--state", type=Path, required=True, help="the state folder")
    parser.add_argument("--host", required=True, help="a host's name in the fleet file")
    arguments = parser.parse_args()
    configure_logging(f"engine/{arguments.host}")
    try:
        settings = load_fleet(arguments.fleet).host(arguments.host)
    except TurntableError as error:
        parser.error(str(error))
    except KeyError:
        parser.error(f"there is no host {arguments.host!r} in {arguments.fleet}")
    return run(arguments.fleet.resolve(), arguments.state.resolve(), settings)


if __name__ == "__main__":
    sys.exit(main())
