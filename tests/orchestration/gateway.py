"""A small stand-in for the gateway, on a free port, in a thread."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NO = {"message": "no"}
REPLICA = {
    "host": "host-0",
    "reachable": True,
    "phase": "serving",
    "awake_model": "a",
    "slots": 8,
}
"""A host on the page `/fleet`."""


class FakeGateway:
    """Answers requests; says what was asked, and fails as told.

    `answers`: what to do with a prompt's text: a status, "die" (close the connection) or "hold"
    (answer when `let_go` is set). A list is used up one a request, then the request is answered.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hosts: list[dict[str, Any]] = []
        """Of the page `/fleet`."""
        self.let_go = threading.Event()
        self.answers: dict[str, list[int | str]] = {}
        self.open = 0
        self.most_open = 0
        self.port = 0
        self._lock = threading.Lock()

    def texts(self) -> list[str]:
        return [text_of(body) for body in self.asked]

    def decide(self, body: dict[str, Any], headers: dict[str, str]) -> int | str:
        text = text_of(body)
        with self._lock:
            self.asked.append(body)
            self.headers.append(headers)
            told = self.answers.get(text, [])
            return told.pop(0) if told else 200

    def enter(self, change: int) -> None:
        with self._lock:
            self.open += change
            self.most_open = max(self.most_open, self.open)


def text_of(body: dict[str, Any]) -> str:
    said: str = body.get("prompt") or body.get("input") or body["messages"][-1]["content"]
    return said


def completion_of(body: dict[str, Any]) -> dict[str, Any]:
    text = text_of(body)
    if "input" in body:
        return {
            "output": f"answer to {text}",
            "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        }
    if "prompt" in body:
        return {
            "choices": [{"text": f"answer to {text}", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        }
    return {
        "choices": [{"message": {"content": f"answer to {text}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5},
    }


@contextmanager
def fake_gateway(port: int = 0) -> Iterator[FakeGateway]:
    gateway = FakeGateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            gateway.enter(1)
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._answer(body, gateway.decide(body, headers))
            finally:
                gateway.enter(-1)

        def do_GET(self) -> None:
            self._send(200, {"hosts": gateway.hosts, "models": []})

        def _answer(self, body: dict[str, Any], told: int | str) -> None:
            if told == "die":
                self.close_connection = True
                return
            if told == "hold":
                gateway.let_go.wait()
            status = told if isinstance(told, int) else 200
            self._send(status, completion_of(body) if status == 200 else {"error": NO})

        def _send(self, status: int, payload: dict[str, Any]) -> None:
            data = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked is gone
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    gateway.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
