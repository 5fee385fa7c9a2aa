"""`turntable cancel`: withdraw a hotswap that nobody needs any more."""

from typing import Annotated

import typer

from turntable.known import check_host
from turntable.settings import console, settings


def cancel(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The engine host whose hotswap it is.")],
    plan: Annotated[
        int | None, typer.Option(help="The plan it belongs to; the host's last unless given.")
    ] = None,
) -> None:
    """Withdraw a hotswap that waits, or whose new model is not awake in the old one's place yet.

    One that has taken the old model out of service is carried out, and this command refused.
    """
    from serving.clients.host import HostClient

    chosen = settings(context)
    check_host(chosen, host)
    with HostClient(*chosen.host_credentials(chosen.fleet().host(host))) as client:
        plan_id = client.state().plan_id if plan is None else plan
        client.cancel(plan_id)
    console().print(f"{host}: the hotswap of plan {plan_id} is cancelled")
