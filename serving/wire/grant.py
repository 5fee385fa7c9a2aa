"""Grants: the models a host may have awake, and the switch within them (JSON on the wire).

A host with a grant of several models is shared: gateways switch it among them. What else changes
the awake model is a hotswap command (`serving.wire.host`).
"""

from typing import Annotated, Literal

import msgspec

SwapKind = Literal["planned", "switch"]
"""A hotswap that a plan, or a person, asked for; or one within a host's grant."""
SwapPolicy = Literal["hand_back", "stagger", "drain"]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /grant`: the models that plan `plan_id` lets a host have awake, the plan's choice first.

    Kept over restarts. Refused (409) for a model not in the registry, for a plan older than the
    last obeyed, and for the same plan with other models; the same again is a no-op. The awake
    model stays what it is.
    """

    plan_id: int
    models: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class SwitchCommand(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /switch`: make `model` of the host's grant the awake model: requests wait for it.

    Refused (409) outside the grant, while another hotswap is under way, and unless
    `expected_awake` is the awake model: whoever asked has seen another host than there is now.
    """

    model: str
    expected_awake: str
    reason: str
    asked_by: str
    """Who decided it."""
    waited_s: float = 0.0
    """How long the first request for `model` had waited."""
    policy: SwapPolicy = "hand_back"
    """As of a `SwapCommand`."""
