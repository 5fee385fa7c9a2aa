"""An engine host's HTTP interface: routes, authorization, and the byte form of what is said.

Nothing is decided here; every route asks the host's owner or reads its state view.
"""

import hmac
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from serving.engine.metrics import HostMetrics
from serving.engine.owner import HostOwner
from serving.engine.state import StateView
from serving.engine.streams import FrameQueue, GenerationStream
from serving.engine.trunks import TrunkPlace, Trunks
from serving.errors import PlanRefused, TurntableError, WireError
from serving.lasting import LastingTasks
from serving.wire import (
    TRUNK_HEADER,
    WIRE_HEADER,
    WIRE_VERSION,
    BatchSizeProfile,
    GenerateRequest,
    Grant,
    Standbys,
    SwapCommand,
    SwitchCommand,
    TierCommand,
    TpotLevel,
    check_wire_version,
    encode_frame,
)

FRAMES = "application/vnd.turntable.frames"
_WIRE = {WIRE_HEADER: str(WIRE_VERSION)}
_LONGEST_WAIT_S = 60.0

log = structlog.get_logger(__name__)


def build_app(
    owner: HostOwner,
    view: StateView,
    metrics: HostMetrics,
    trunks: Trunks,
    lasting: LastingTasks,
    *,
    token: str,
) -> FastAPI:
    """The application of one engine host; `token` is what its callers must bear."""
    app = FastAPI(title="Turntable engine host", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(TurntableError, _as_response)
    _public_routes(app, view, metrics, lasting)
    admin = [Depends(_bearer_check(token))]
    _command_routes(app, owner, view, admin)
    _cap_routes(app, owner, view, admin)
    _generation_routes(app, owner, view, trunks, admin)
    _trunk_route(app, trunks, admin)
    return app


def _public_routes(
    app: FastAPI, view: StateView, metrics: HostMetrics, lasting: LastingTasks
) -> None:
    @app.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health")
    async def health() -> Response:
        if failing := lasting.told():
            return _json({"status": "failing", "failing": failing}, status=503)
        return _json({"status": "well"})

    @app.get("/ready")
    async def ready() -> Response:
        state = view.now()
        if state.phase == "serving":
            return _json({"status": "ready", "awake_model": state.awake_model})
        reason = state.failure or f"phase {state.phase}"
        return _json({"status": "not ready", "reason": reason}, status=503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")


def _command_routes(app: FastAPI, owner: HostOwner, view: StateView, admin: list[Any]) -> None:
    @app.get("/state", dependencies=admin)
    async def state(after: int = 0, wait_s: float = 0.0) -> Response:
        return _json(await view.after(after, min(wait_s, _LONGEST_WAIT_S)))

    @app.put("/awake", dependencies=admin)
    async def awake(request: Request) -> Response:
        command = _decoded(msgspec.json.Decoder(SwapCommand), await request.body(), view)
        return _json(await owner.swap(command))

    @app.put("/tiers/{model}", dependencies=admin)
    async def tier(model: str, request: Request) -> Response:
        command = _decoded(msgspec.json.Decoder(TierCommand), await request.body(), view)
        return _json(await owner.change_tier(model, command.tier))

    @app.put("/grant", dependencies=admin)
    async def grant(request: Request) -> Response:
        await owner.grant(_decoded(msgspec.json.Decoder(Grant), await request.body(), view))
        return Response(status_code=204, headers=_WIRE)

    @app.post("/switch", dependencies=admin)
    async def switch(request: Request) -> Response:
        command = _decoded(msgspec.json.Decoder(SwitchCommand), await request.body(), view)
        return _json(await owner.switch(command))

    @app.put("/standbys", dependencies=admin)
    async def standbys(request: Request) -> Response:
        wanted = _decoded(msgspec.json.Decoder(Standbys), await request.body(), view)
        await owner.want(wanted)
        return Response(status_code=204, headers=_WIRE)

    @app.delete("/awake/{plan_id}", dependencies=admin)
    async def cancel(plan_id: int) -> Response:
        await owner.cancel_swap(plan_id)
        return Response(status_code=204, headers=_WIRE)


def _cap_routes(app: FastAPI, owner: HostOwner, view: StateView, admin: list[Any]) -> None:
    """What a model's interactive cap begins from, and what it keeps to."""

    @app.put("/profiles/{model}", dependencies=admin)
    async def profile(model: str, request: Request) -> Response:
        given = _decoded(msgspec.json.Decoder(BatchSizeProfile), await request.body(), view)
        if given.model != model:
            raise WireError(
                f"the profile is of {given.model}",
                where=f"PUT /profiles/{model}",
                fix="Send it to its own model's address.",
            )
        await owner.take_profile(given)
        return Response(status_code=204, headers=_WIRE)

    @app.put("/levels/{model}", dependencies=admin)
    async def level(model: str, request: Request) -> Response:
        wanted = _decoded(msgspec.json.Decoder(TpotLevel), await request.body(), view)
        await owner.keep_to_level(model, wanted)
        return Response(status_code=204, headers=_WIRE)


def _generation_routes(
    app: FastAPI, owner: HostOwner, view: StateView, trunks: Trunks, admin: list[Any]
) -> None:
    decoder = msgspec.msgpack.Decoder(GenerateRequest)

    @app.post("/generate", dependencies=admin)
    async def generate(
        request: Request,
        wire: Annotated[str | None, Header(alias=WIRE_HEADER)] = None,
        by_trunk: Annotated[str | None, Header(alias=TRUNK_HEADER)] = None,
    ) -> Response:
        check_wire_version(wire, peer=_peer(request))
        wanted = _decoded(decoder, await request.body(), view)
        place = trunks.place(by_trunk)
        if by_trunk is not None and place is not None:
            body = _no_frames(owner, owner.submit(wanted, place.put), place)
            headers = {**_WIRE, TRUNK_HEADER: by_trunk}
            return StreamingResponse(body, media_type=FRAMES, headers=headers)
        queue = FrameQueue()
        body = _frames(owner, owner.submit(wanted, queue.put), queue)
        return StreamingResponse(body, media_type=FRAMES, headers=_WIRE)

    @app.delete("/generate/{request_id:path}", dependencies=admin)
    async def abort(
        request: Request,
        request_id: str,
        wire: Annotated[str | None, Header(alias=WIRE_HEADER)] = None,
    ) -> Response:
        check_wire_version(wire, peer=_peer(request))
        found = owner.cancel_request(request_id)
        return Response(status_code=204 if found else 404, headers=_WIRE)


def _trunk_route(app: FastAPI, trunks: Trunks, admin: list[Any]) -> None:
    @app.post("/trunks/{name}", dependencies=admin)
    async def trunk(
        request: Request,
        name: str,
        wire: Annotated[str | None, Header(alias=WIRE_HEADER)] = None,
    ) -> Response:
        check_wire_version(wire, peer=_peer(request))
        return StreamingResponse(trunks.parcels(name), media_type=FRAMES, headers=_WIRE)


async def _frames(
    owner: HostOwner, stream: GenerationStream, queue: FrameQueue
) -> AsyncIterator[bytes]:
    structlog.contextvars.bind_contextvars(request_id=stream.request.request_id)
    try:
        async for frame in queue:
            yield encode_frame(frame)
    finally:
        # Also when the connection was closed: then nobody wants the rest.
        owner.cancel(stream.key)


async def _no_frames(
    owner: HostOwner, stream: GenerationStream, place: TrunkPlace
) -> AsyncIterator[bytes]:
    """The answer where frames come by a trunk: open for as long as the stream is wanted."""
    structlog.contextvars.bind_contextvars(request_id=stream.request.request_id)
    try:
        await place.over.wait()
        yield b""
    finally:
        owner.cancel(stream.key)


def _bearer_check(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    async def check(authorization: Annotated[str | None, Header()] = None) -> None:
        if not hmac.compare_digest((authorization or "").encode(), expected):
            raise HTTPException(401, "the admin token is missing or wrong")

    return check


def _decoded(decoder: Any, body: bytes, view: StateView) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise WireError(
            str(error), where=f"host {view.now().host}", fix="Send what serving.wire defines."
        ) from error


def _peer(request: Request) -> str:
    return f"client {request.client.host}" if request.client else "client"


def _json(body: object, *, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/json", headers=_WIRE
    )


async def _as_response(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TurntableError)
    status = {PlanRefused: 409, WireError: 400}.get(type(error), 500)
    body = {"type": type(error).__name__, "what": error.what, "where": error.where}
    log.info("refused", status=status, **body)
    return _json({"error": {**body, "fix": error.fix}}, status=status)
