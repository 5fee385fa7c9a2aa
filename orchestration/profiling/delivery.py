"""Giving hosts the profiles of their hardware: their first interactive cap follows from them."""

from collections.abc import Iterable

from serving.clients.host import HostClient
from serving.wire import BatchSizeProfile


def deliver(host: HostClient, profiles: Iterable[BatchSizeProfile]) -> list[str]:
    """Give a host every profile of its hardware; the models it was given one of.

    Raises HostError when the host does not answer or refuses.
    """
    known = list(profiles)
    if not known:
        return []
    hardware = host.state().hardware
    meant = [profile for profile in known if profile.hardware == hardware]
    for profile in meant:
        host.give_profile(profile)
    return [profile.model for profile in meant]
