"""A small stand-in for the gateway's chat endpoint, on a free port, in a thread."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeGateway:
    """Answers chat requests; says what was asked, and fails as told.

    `answers`: what to do with a prompt's text: a status, or "die" (close the connection).
    A list is used up one a request, then the request is answered.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, list[int | str]] = {}
        self.open = 0
        self.most_open = 0
        self.port = 0
        self._lock = threading.Lock()

    def texts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.asked]

    def decide(self, body: dict[str, Any]) -> int | str:
        text = body["messages"][-1]["content"]
        with self._lock:
            self.asked.append(body)
            told = self.answers.get(text, [])
            return told.pop(0) if told else 200

    def enter(self, change: int) -> None:
        with self._lock:
            self.open += change
            self.most_open = max(self.most_open, self.open)


def completion_of(body: dict[str, Any]) -> dict[str, Any]:
    text = body["messages"][-1]["content"]
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
                self._answer(body, gateway.decide(body))
            finally:
                gateway.enter(-1)

        def _answer(self, body: dict[str, Any], told: int | str) -> None:
            if told == "die":
                self.close_connection = True
                return
            status = int(told)
            payload = completion_of(body) if status == 200 else {"error": {"message": "no"}}
            data = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
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
        server.shutdown()
        server.server_close()
        thread.join()
