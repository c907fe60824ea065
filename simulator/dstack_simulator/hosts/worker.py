"""An emulated inference worker: the HTTP API of an inference engine, without a model."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from aiohttp import web

from dstack_simulator.hosts.engine import EngineOptions
from dstack_simulator.hosts.http import Routes, read_json
from dstack_simulator.hosts.load import Load
from dstack_simulator.hosts.logs import LogBuffer
from dstack_simulator.hosts.requests import OpenRequests, Tally
from dstack_simulator.hosts.specs import Timings

_CONTEXT_LENGTH = 32768
_CACHE_TOKENS = 412880
_MAX_RUNNING = 256
_REQUEST_SECONDS = 1.8
_TOKENS_PER_REQUEST = 182
_REPORT_SECONDS = 4.0
_TOKEN_SECONDS = 0.004
_PREFILL_SECONDS = 0.02
#: Seconds that idle connections have to close in when the engine ends.
_CLOSING = 0.1
#: What engines call the requests that they work on, and those that wait.
_GAUGES: Mapping[str, tuple[str, str]] = {
    "sglang": ("num_running_reqs", "num_queue_reqs"),
    "vllm": ("num_requests_running", "num_requests_waiting"),
}
_VERSIONS: Mapping[str, str] = {"sglang": "0.5.6", "vllm": "0.11.2"}
_ANSWERS = (
    (
        "This answer comes from an emulated worker. The path that led here is real: the proxy, "
        "the tunnel, the router if there is one, and the registration of this replica."
    ),
    (
        "No model was loaded to write this. The request reached a replica of the service through "
        "the same machinery that a request in production takes."
    ),
    (
        "The worker that wrote this has no GPU and no weights, only this sentence and a few "
        "others. Everything between it and you works as it always does."
    ),
)


class Worker:
    """The state of one engine."""

    def __init__(
        self,
        options: EngineOptions,
        load: Load,
        log: LogBuffer,
        *,
        port: int,
        timings: Timings | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.options = options
        self.port = port
        self.failing = False
        """Answers 503 to health checks and to requests."""
        self.draining = False
        """Answers 503 likewise, but for the requests that are open."""
        self.tally = tally or Tally()
        self._timings = timings or Timings()
        self._open = OpenRequests(self.tally)
        self._server: web.Server | None = None
        self._load = load
        self._log = log
        self._started = int(time.time())
        self._reported = time.monotonic()
        self._chance = random.Random(options.model)

    def serve(self) -> web.Server:
        """Makes the protocol factory of this worker."""
        self._server = _routes.serve(self, lets_in=self._lets_in, ends_with_client=True)
        return self._server

    @property
    def requests(self) -> int:
        """How many requests for inference came."""
        return self.tally.received

    async def drain(self) -> None:
        """Takes no new requests, and waits until none is open."""
        self.draining = True
        self._log.write(
            f"[{self.options.runtime}] Shutting down. Waiting for {self.tally.open} requests."
        )
        if self._server is not None:
            self._open.close_idle(self._server)
        await self._open.ended()

    def cut(self) -> None:
        """Cuts the requests that are open."""
        self._open.cut()

    async def close(self) -> None:
        """Closes every connection."""
        if self._server is not None:
            await self._server.shutdown(_CLOSING)

    def _lets_in(self, request: web.BaseRequest) -> bool:
        """Whether a request has the API key, or asks for what engines tell anybody."""
        key = self.options.api_key
        return (
            not key
            or request.path.startswith(("/health", "/metrics"))
            or request.headers.get("Authorization") == f"Bearer {key}"
        )

    def log_start(self) -> None:
        """Writes what an engine writes while it loads a model."""
        name, version = self.options.runtime, _VERSIONS[self.options.runtime]
        self._log.write(
            f"[{name}] {name} {version}, model={self.options.model}, "
            f"tp={self.options.tensor_parallel}, role={self.options.role}\n"
            f"[{name}] Init torch distributed begin.\n"
            f"[{name}] Load weight begin.\n"
        )

    def log_ready(self) -> None:
        """Writes that the engine takes requests."""
        name = self.options.runtime
        self._log.write(
            f"[{name}] Load weight end. dtype=torch.bfloat16\n"
            f"[{name}] KV cache allocated. max_total_num_tokens={_CACHE_TOKENS}\n"
            f"[{name}] Capture cuda graph end.\n"
            f"[{name}] Uvicorn running on http://0.0.0.0:{self.port}\n"
            f"[{name}] The server is fired up and ready to roll!\n"
        )

    def log_progress(self) -> None:
        """Writes what engines write under load: some requests, and a line about the batch."""
        now = time.monotonic()
        rate = self._load.requests_per_second()
        if self.failing or self.draining or rate <= 0 or now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        for _ in range(min(3, math.ceil(rate / 4))):
            self._log_request("POST", "/v1/chat/completions", 200)
        phase = "Prefill" if self.options.role == "prefill" else "Decode"
        running = max(1, round(rate * _REQUEST_SECONDS))
        self._log.write(
            f"[{self.options.runtime}] {phase} batch. #running-req: {running}, "
            f"token usage: {0.05 + 0.8 * self._load.level():.2f}, "
            f"gen throughput (token/s): {rate * _TOKENS_PER_REQUEST:.2f}, #queue-req: 0"
        )

    async def answer(
        self, request: web.BaseRequest, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answers a request for inference, unless none is answered now; writes its line."""
        refuses = self.failing or self.draining
        self._load.count_request()
        self._log_request(request.method, request.path, 503 if refuses else 200)
        if refuses:
            self._open.refuse()
            return _unavailable()
        return await self._open.answer(request, answer)

    def pace(self, parts: int) -> Pace:
        """When the parts of an answer that begins now are due."""
        # A prefill engine only reads the prompt; the tokens come from another.
        slow = 0.0 if self.options.role == "prefill" else self._timings.answering
        return Pace(parts, slow)

    def _log_request(self, method: str, path: str, status: int) -> None:
        phrase = HTTPStatus(status).phrase
        peer = f"10.0.0.{self._chance.randrange(2, 250)}:{self._chance.randrange(32768, 60999)}"
        self._log.write(f'INFO:     {peer} - "{method} {path} HTTP/1.1" {status} {phrase}')


class Pace:
    """When the parts of an answer are due.

    Args:
        parts: How many there are.
        seconds: When the last one is due; 0 for as quick as an engine without a model is.
    """

    def __init__(self, parts: int, seconds: float) -> None:
        self._step = seconds / parts if seconds else _TOKEN_SECONDS
        self._first = self._step if seconds else _PREFILL_SECONDS
        self._began = time.monotonic()

    def due(self, part: int) -> float:
        """Seconds from the beginning until a part is due; they are numbered from 0."""
        return self._first + part * self._step

    async def wait_for(self, part: int) -> None:
        """Waits until a part is due."""
        await asyncio.sleep(max(0.0, self._began + self.due(part) - time.monotonic()))


_routes: Routes[Worker] = Routes()


def _unavailable() -> web.Response:
    return web.json_response(
        {"error": {"message": "The engine does not answer.", "type": "unavailable", "code": 503}},
        status=503,
    )


@_routes.on("GET", "/health", "/health_generate", "/ping", "/readiness")
async def _health(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return _unavailable() if worker.failing or worker.draining else web.Response()


@_routes.on("GET", "/v1/models")
async def _models(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    card = {
        "id": worker.options.model,
        "object": "model",
        "created": worker._started,
        "owned_by": worker.options.runtime,
        "root": worker.options.model,
        "max_model_len": _CONTEXT_LENGTH,
    }
    return web.json_response({"object": "list", "data": [card]})


@_routes.on("GET", "/server_info", "/get_server_info")
async def _server_info(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    options = worker.options
    if options.runtime != "sglang":
        return web.json_response({"detail": "Not Found"}, status=404)
    throughput = worker._load.requests_per_second() * _TOKENS_PER_REQUEST
    info: dict[str, Any] = {
        "status": "ready",
        "version": _VERSIONS["sglang"],
        "model_path": options.model,
        "served_model_name": options.model,
        "tokenizer_path": options.model,
        "tp_size": options.tensor_parallel,
        "dp_size": 1,
        "context_length": _CONTEXT_LENGTH,
        "max_total_num_tokens": _CACHE_TOKENS,
        "max_req_input_len": _CONTEXT_LENGTH - 6,
        "disaggregation_mode": "null" if options.role == "regular" else options.role,
        "disaggregation_bootstrap_port": options.bootstrap_port,
        "internal_states": [{"last_gen_throughput": throughput}],
    }
    return web.json_response(info)


@_routes.on("GET", "/model_info", "/get_model_info")
async def _model_info(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(
        {
            "model_path": worker.options.model,
            "tokenizer_path": worker.options.model,
            "is_generation": True,
            "preferred_sampling_params": None,
        }
    )


@_routes.on("GET", "/version")
async def _version(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response({"version": _VERSIONS[worker.options.runtime]})


@_routes.on("GET", "/get_load", "/v1/loads")
async def _get_load(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    if worker.options.runtime != "sglang":
        return web.json_response({"detail": "Not Found"}, status=404)
    rate, level = worker._load.requests_per_second(), worker._load.level()
    running, tokens = worker.tally.open, round(level * _CACHE_TOKENS)
    if request.path == "/get_load":
        old = {"dp_rank": 0, "num_reqs": running, "num_waiting_reqs": 0, "num_tokens": tokens}
        return web.json_response([old])
    load = {
        "dp_rank": 0,
        "num_running_reqs": running,
        "num_waiting_reqs": 0,
        "num_total_reqs": running,
        "num_used_tokens": tokens,
        "max_total_num_tokens": _CACHE_TOKENS,
        "token_usage": round(level, 4),
        "gen_throughput": round(rate * _TOKENS_PER_REQUEST, 2),
        "cache_hit_rate": 0.0,
        "utilization": round(level, 4),
        "max_running_requests": _MAX_RUNNING,
    }
    return web.json_response(
        {
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "version": _VERSIONS["sglang"],
            "dp_rank_count": 1,
            "loads": [load],
        }
    )


@_routes.on("GET", "/metrics")
async def _metrics(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    prefix, label = worker.options.runtime, f'{{model_name="{worker.options.model}"}}'
    running, waiting = _GAUGES[prefix]
    return web.Response(
        text=(
            f"# TYPE {prefix}:{running} gauge\n"
            f"{prefix}:{running}{label} {worker.tally.open}\n"
            f"# TYPE {prefix}:{waiting} gauge\n"
            f"{prefix}:{waiting}{label} 0\n"
            f"# TYPE {prefix}:token_usage gauge\n"
            f"{prefix}:token_usage{label} {worker._load.level():.4f}\n"
            f"# TYPE {prefix}:num_requests_total counter\n"
            f"{prefix}:num_requests_total{label} {worker.requests}\n"
        )
    )


def _prompt_of(body: Mapping[str, Any]) -> str:
    prompt = body.get("messages") or body.get("prompt") or body.get("text") or body.get("input_ids")
    return prompt if isinstance(prompt, str) else json.dumps(prompt)


def _answer_to(body: Mapping[str, Any]) -> tuple[list[str], dict[str, int], str]:
    """The words of the canned answer, the token counts, and why it ends."""
    prompt = _prompt_of(body)
    sampling = body.get("sampling_params")
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    if isinstance(sampling, dict):
        limit = sampling.get("max_new_tokens", limit)
    words = re.findall(r"\S+\s*", _ANSWERS[zlib.crc32(prompt.encode()) % len(_ANSWERS)])
    finish = "stop"
    if isinstance(limit, int) and 0 < limit < len(words):
        words, finish = words[:limit], "length"
    asked = max(1, len(prompt.split()))
    usage = {
        "prompt_tokens": asked,
        "completion_tokens": len(words),
        "total_tokens": asked + len(words),
    }
    return words, usage, finish


async def _stream(
    request: web.BaseRequest, events: AsyncIterator[Mapping[str, Any]]
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    async for event in events:
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


@_routes.on("POST", "/v1/chat/completions", "/v1/completions")
async def _complete(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return await worker.answer(request, lambda: _completion(worker, request))


async def _completion(worker: Worker, request: web.BaseRequest) -> web.StreamResponse:
    body = await read_json(request)
    chat = request.path.endswith("/chat/completions")
    words, usage, finish = _answer_to(body)
    head: dict[str, Any] = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": body.get("model") or worker.options.model,
    }
    if not body.get("stream"):
        await worker.pace(1).wait_for(0)
        text = "".join(words)
        part: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if chat:
            part["message"] = {"role": "assistant", "content": text}
        else:
            part["text"] = text
        kind = "chat.completion" if chat else "text_completion"
        return web.json_response({**head, "object": kind, "choices": [part], "usage": usage})

    async def chunks() -> AsyncIterator[Mapping[str, Any]]:
        kind = "chat.completion.chunk" if chat else "text_completion"
        pace = worker.pace(len(words) + 1)
        for position, word in enumerate([*words, ""]):
            await pace.wait_for(position)
            last = position == len(words)
            choice: dict[str, Any] = {"index": 0, "finish_reason": finish if last else None}
            if chat:
                role = {"role": "assistant"} if position == 0 else {}
                choice["delta"] = {} if last else {**role, "content": word}
            else:
                choice["text"] = word
            yield {**head, "object": kind, "choices": [choice]}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**head, "object": kind, "choices": [], "usage": usage}

    return await _stream(request, chunks())


@_routes.on("POST", "/generate")
async def _generate(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return await worker.answer(request, lambda: _generation(worker, request))


async def _generation(worker: Worker, request: web.BaseRequest) -> web.StreamResponse:
    body = await read_json(request)
    words, usage, finish = _answer_to(body)
    meta: dict[str, Any] = {
        "id": body.get("rid") or uuid.uuid4().hex,
        "finish_reason": {"type": finish},
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
    }
    if not body.get("stream"):
        await worker.pace(1).wait_for(0)
        return web.json_response({"text": "".join(words), "meta_info": meta})

    async def chunks() -> AsyncIterator[Mapping[str, Any]]:
        pace = worker.pace(len(words))
        for position in range(len(words)):
            await pace.wait_for(position)
            yield {"text": "".join(words[: position + 1]), "meta_info": meta}

    return await _stream(request, chunks())


@_routes.on("POST", "/flush_cache", "/abort_request")
async def _accept(
    worker: Worker, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.Response()
