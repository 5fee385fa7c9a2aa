"""Checking that the ports a fleet names are free."""

import errno
import socket

from serving.errors import TurntableError
from turntable.supervision.leftovers import listener
from turntable.supervision.programs import Program


class PortTaken(TurntableError):
    """A port that a program needs is in use."""


def check_ports(programs: list[Program], fleet_file: str) -> None:
    """Raise PortTaken, naming every port that cannot be bound and who holds it."""
    taken = []
    for program in programs:
        if program.port is None:
            continue
        problem = _problem(program.address, program.port)
        if problem is not None:
            taken.append(f"{program.name} needs {program.address}:{program.port}: {problem}")
    if taken:
        raise PortTaken(
            "; ".join(taken),
            where=fleet_file,
            fix="End what holds the port, or give the program another one in the fleet file.",
        )


def _problem(address: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"held by {listener(address, port) or 'a process that cannot be seen'}"
            return error.strerror
    return None
