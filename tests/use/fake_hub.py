"""A hub on this machine: what `huggingface_hub` asks for when a folder is uploaded."""

import base64
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_ofthistest"


class Hub(ThreadingHTTPServer):
    """Holds repositories as {name: {path: bytes}}; refuse: a status to answer every commit with."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Door)
        self.repositories, self.private, self.refuse, self.asked = {}, {}, None, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Door(BaseHTTPRequestHandler):
    def log_message(self, *_given):
        """The screen is for the test."""

    def answer(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.asked.append(("GET", self.path))
        self.answer(404, {"error": "not here"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append(("POST", self.path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        place = re.fullmatch(r"/api/models/(\S+?/\S+?)/(preupload|commit)/main", self.path)
        if place and place[2] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if place:
            return self.commit(place[1], body)
        return self.answer(404, {"error": "not here"})

    def create(self, asked: dict) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        known = name in self.server.repositories
        if not known:
            self.server.repositories[name], self.server.private[name] = (
                {},
                asked.get("visibility") == "private",
            )
        url = f"{self.server.address}/{name}"
        self.answer(409 if known else 200, {"url": url, "name": name, "id": "1"})

    def commit(self, name: str, body: str) -> None:
        if self.server.refuse:
            return self.answer(self.server.refuse, {"error": "no"})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.server.repositories[name][line["value"]["path"]] = content
        url = f"{self.server.address}/{name}/commit/0"
        return self.answer(200, {"success": True, "commitOid": "0" * 40, "commitUrl": url})


@contextmanager
def fake_hub():
    """A hub that answers while the block runs."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
