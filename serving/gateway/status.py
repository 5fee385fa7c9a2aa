"""What the gateway says about itself and the fleet: models, readiness, the fleet's state."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from serving.config import Fleet, ModelSettings
from serving.gateway.census import Census
from serving.gateway.dialects import Dialect, error_body
from serving.gateway.failures import unknown_model
from serving.gateway.lines.figures import BatchFigures
from serving.gateway.metrics import CLASSES, GatewayMetrics
from serving.gateway.pool import HostView, Pool


class Status:
    """The read-only routes. `apps` fills while the gateway starts."""

    def __init__(
        self,
        fleet: Fleet,
        pool: Pool,
        census: Census,
        metrics: GatewayMetrics,
        apps: Mapping[str, ASGIApp],
        figures: BatchFigures,
    ) -> None:
        self._fleet, self._pool, self._census = fleet, pool, census
        self._figures = figures
        self._metrics, self._apps = metrics, apps
        self._created = int(time.time())

    async def live(self, _request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _request: Request) -> Response:
        """Every model's app is built. A model may be without a replica: its requests wait."""
        starting = [m.name for m in self._fleet.models if m.name not in self._apps]
        if starting:
            body = {"status": "not ready", "reason": "starting", "models": starting}
            return JSONResponse(body, status_code=503, headers={"Retry-After": "2"})
        missing = [m.name for m in self._fleet.models if not self._pool.replicas(m.name)]
        return JSONResponse({"status": "ready", "without_replica": missing})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' page."""
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4")

    async def fleet(self, _request: Request) -> Response:
        """Hosts as they last reported, models with their replicas, load and offer to batch."""
        body = {
            "hosts": [_host(view) for view in self._pool.hosts()],
            "models": [self._load(model.name) for model in self._fleet.models],
        }
        return JSONResponse(body)

    async def models(self, request: Request) -> Response:
        """Every registered model, awake somewhere or not."""
        listed = [self._model(model, dialect_of(request)) for model in self._fleet.models]
        if dialect_of(request) == "anthropic":
            ids = [model["id"] for model in listed]
            ends = {"first_id": ids[0], "last_id": ids[-1], "has_more": False}
            return JSONResponse({"data": listed, **ends})
        return JSONResponse({"object": "list", "data": listed})

    async def model(self, request: Request) -> Response:
        """One registered model."""
        name = request.path_params["model"]
        for model in self._fleet.models:
            if model.name == name:
                return JSONResponse(self._model(model, dialect_of(request)))
        refusal = unknown_model(name, (model.name for model in self._fleet.models))
        return JSONResponse(error_body(dialect_of(request), refusal), status_code=404)

    def _model(self, model: ModelSettings, dialect: Dialect) -> dict[str, Any]:
        if dialect == "anthropic":
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._created))
            return {
                "type": "model",
                "id": model.name,
                "display_name": model.name,
                "created_at": created,
            }
        return {
            "id": model.name,
            "object": "model",
            "created": self._created,
            "owned_by": "turntable",
            "max_model_len": model.max_model_len,
        }

    def _load(self, model: str) -> dict[str, Any]:
        return {
            "name": model,
            "replicas": self._pool.replicas(model),
            "waiting": {name: self._census.count("waiting", model, name) for name in CLASSES},
            "running": {name: self._census.count("running", model, name) for name in CLASSES},
            "batch": self._figures.told(model),
        }


def dialect_of(request: Request) -> Dialect:
    """Whose API a request is of, where the path is the same in both."""
    anthropic = request.url.path.startswith("/v1/messages")
    return "anthropic" if anthropic or "anthropic-version" in request.headers else "openai"


def _host(view: HostView) -> dict[str, Any]:
    state = {"host": view.name} if view.state is None else msgspec.to_builtins(view.state)
    reachable = {"reachable": view.trouble is None, "trouble": view.trouble}
    return {**state, **reachable, "attempts": view.attempts}
