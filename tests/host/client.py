"""What a program says to a ComfyUI server: queue a prompt, wait, upload, interrupt, free; and what the page hears."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

Prompt = dict[str, dict[str, Any]]
"""A graph in API format: node id -> {"class_type", "inputs"}."""

WAIT = 900
"""Seconds for a prompt: the machine may have other work."""

SUCCESS, ERROR, INTERRUPTED, REJECTED = "success", "error", "interrupted", "rejected"
_ENDS = {"execution_success": SUCCESS, "execution_error": ERROR, "execution_interrupted": INTERRUPTED}


@dataclass(frozen=True)
class Ended:
    """How a prompt ended. `status` is success, error, interrupted, or rejected (it never ran).

    `text` is what a person sees in the page. `cached` are the nodes that did not run again. `files` are the paths,
    relative to the folder of their kind ("output/a.mp4"), of what the nodes showed. `error` is the host's report.
    """

    status: str
    text: str = ""
    cached: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    error: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


class Client:
    """Speaks to the server at `address` ("host:port") as one browser tab does."""

    def __init__(self, address: str) -> None:
        self.address, self.id = address, uuid.uuid4().hex

    def answers(self) -> bool:
        """Whether the server is up."""
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: object, kind: str = "application/json") -> Any:
        """Post JSON (or bytes of another `kind`) and return the JSON answer, None for an empty one."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def object_info(self) -> dict[str, dict[str, Any]]:
        """All nodes, as the page gets them."""
        return self.get("/object_info")

    def queue(self, prompt: Prompt) -> str | Ended:
        """Queue a prompt: its id, or how it was rejected."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": self.id})["prompt_id"]
        except urllib.error.HTTPError as refusal:
            if refusal.code != 400:
                raise
            return _rejected(json.load(refusal))

    def ended(self, prompt_id: str) -> Ended | None:
        """How the prompt ended; None while it waits or runs."""
        entry = self.get(f"/history/{prompt_id}").get(prompt_id)
        return None if entry is None else _ended(entry)

    def wait(self, prompt_id: str, seconds: float = WAIT) -> Ended:
        """Wait for the end of a prompt."""
        end = time.monotonic() + seconds
        while (ended := self.ended(prompt_id)) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"the prompt still runs after {seconds:g} s")
            time.sleep(0.03)
        return ended

    def run(self, prompt: Prompt, seconds: float = WAIT) -> Ended:
        """Queue a prompt and wait for its end."""
        queued = self.queue(prompt)
        return queued if isinstance(queued, Ended) else self.wait(queued, seconds)

    def interrupt(self) -> None:
        """What the page's stop button does."""
        self.post("/interrupt", {})

    def free(self) -> None:
        """Unload the models and forget all results. The server does so between prompts, a moment later."""
        self.post("/free", {"unload_models": True, "free_memory": True})
        time.sleep(1.5)

    def upload(self, file: Path, name: str | None = None) -> str:
        """Upload a file into the input folder as the page does; its name there."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name or file.name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        tail = f'\r\n--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{mark}--\r\n'
        body = head.encode() + file.read_bytes() + tail.encode()
        return self.post("/upload/image", body, f"multipart/form-data; boundary={mark}")["name"]

    @contextmanager
    def listening(self) -> Iterator[Heard]:
        """Within the block, all that the server tells this client over its websocket."""
        messages = Heard(websocket.create_connection(f"ws://{self.address}/ws?clientId={self.id}", timeout=60))
        try:
            yield messages
        finally:
            messages.close()


class Heard:
    """Messages as they come: `messages` (type, data), `pictures` (the bytes of preview pictures), `texts` (node, text
    that is shown on it)."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.pictures: list[bytes] = []
        self.texts: list[tuple[str, str]] = []
        self._connection = connection
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of all messages of one type so far."""
        return [data for name, data in list(self.messages) if name == kind]

    def wait(self, kind: str, seconds: float = 60) -> dict[str, Any]:
        """The first message of a type, waiting for it if need be."""
        end = time.monotonic() + seconds
        while not (messages := self.of(kind)):
            if time.monotonic() > end:
                raise TimeoutError(f"no {kind!r} within {seconds:g} s; heard {[name for name, _ in self.messages]}")
            time.sleep(0.01)
        return messages[0]

    def close(self) -> None:
        self._connection.close()
        self._thread.join(5)

    def _read(self) -> None:
        while True:
            try:
                opcode, data = self._connection.recv_data()
            except (websocket.WebSocketException, OSError):
                return
            if opcode == websocket.ABNF.OPCODE_TEXT:
                message = json.loads(data)
                self.messages.append((message["type"], message["data"]))
            elif opcode == websocket.ABNF.OPCODE_BINARY and int.from_bytes(data[:4], "big") == 1:
                self.pictures.append(data[8:])
            elif opcode == websocket.ABNF.OPCODE_BINARY and int.from_bytes(data[:4], "big") == 3:
                end = 8 + int.from_bytes(data[4:8], "big")
                self.texts.append((data[8:end].decode(), data[end:].decode()))
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                return


def _ended(entry: Mapping[str, Any]) -> Ended:
    messages = {name: data for name, data in entry["status"]["messages"]}
    status = next(_ENDS[name] for name in messages if name in _ENDS)
    error = messages.get("execution_error", {})
    return Ended(
        status,
        error.get("exception_message", "").strip(),
        frozenset(messages.get("execution_cached", {}).get("nodes", ())),
        tuple(_files(entry["outputs"])),
        error,
        entry["outputs"],
    )


def _files(outputs: Mapping[str, Any]) -> Iterator[Path]:
    for results in outputs.values():
        for values in results.values():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict) and "filename" in value:
                    yield Path(value.get("type", "output"), value.get("subfolder", ""), value["filename"])


def _rejected(answer: Mapping[str, Any]) -> Ended:
    error, lines = answer["error"], []
    for node in answer["node_errors"].values():
        lines += [f"{node['class_type']}: {detail['message']}: {detail['details']}" for detail in node["errors"]]
    text = "\n".join([f"{error['message']} {error['details']}".strip(), *lines])
    return Ended(REJECTED, text, error=answer)
