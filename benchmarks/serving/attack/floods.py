"""The list of floods: load, server options, and limits of their own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from benchmarks.serving.attack import bodies, connections, grpc_calls, single
from benchmarks.serving.attack.crowd import Counts
from benchmarks.serving.attack.inputs import CMYK_24, CMYK_64, PALETTE_64
from benchmarks.serving.attack.target import Target

Attack = Callable[[Target, float], Counts]
Log = Literal["file", "unread pipe", "left pipe", "full disk"]


@dataclass(frozen=True)
class Flood:
    """One attack.

    Attributes:
        name: for `--only`.
        load: in the table.
        attack: what an attacker does for some seconds, in a separate process.
        has_tls: whether the server has a certificate.
        has_key: whether requests need an API key.
        log: destination of the server's log; all but `file` also have an access log.
        stops_worker: whether the attack itself stops the worker. Then it is restarted once, and requests are lost.
        bounds: count of the attack -> upper limit.
        needs: program that must be installed.
    """

    name: str
    load: str
    attack: Attack
    has_tls: bool = False
    has_key: bool = False
    log: Log = "file"
    stops_worker: bool = False
    bounds: dict[str, float] = field(default_factory=dict)
    needs: str | None = None


def _pipelined(kind: str, number: int, load: str = "", *, has_key: bool = False) -> Flood:
    attack = partial(connections.pipelined, kind=kind, connections=number)
    load = load or f"GET {connections.PATHS[kind]}"
    return Flood(f"pipeline-{kind}", f"{number} connections pipeline {load}", attack, has_key=has_key)


def _log(name: str, log: Log, load: str) -> Flood:
    attack = partial(connections.pipelined, kind="infer", connections=4)
    return Flood(name, f"4 connections pipeline inference; access log; {load}", attack, log=log)


def _pictures(name: str, file: str, number: int, load: str) -> Flood:
    attack = partial(bodies.pictures, file=file, connections=number)
    return Flood(name, f"{number} × {load}, again and again", attack)


_CMYK_64, _CMYK_24 = "progressive CMYK JPEG of 64 megapixels", "progressive CMYK JPEG of 24 megapixels"
_PALETTE = "palette PNG of 64 megapixels"
_NEXT = {single.NEXT_PICTURE_S: 2.0}

FLOODS = (
    Flood("bodies-17", "17 × 60 of 61 MiB, then silence", partial(bodies.unfinished, connections=17)),
    Flood("bodies-40", "40 × 60 of 61 MiB, then silence", partial(bodies.unfinished, connections=40)),
    Flood("chunked-17", "17 × 60 MiB in chunks", partial(bodies.unfinished, connections=17, chunked=True)),
    Flood("chunked-40", "40 × 60 MiB in chunks", partial(bodies.unfinished, connections=40, chunked=True)),
    Flood("gzip-40", "40 × gzip of 64 MiB, again and again", partial(bodies.compressed, connections=40)),
    Flood("json-16", "16 × JSON of 5 MiB, again and again", partial(bodies.documents, connections=16)),
    Flood("grpc-bodies-17", "gRPC: 17 × 60 of 61 MiB", partial(grpc_calls.unfinished, connections=17)),
    Flood("grpc-bodies-40", "gRPC: 40 × 60 of 61 MiB", partial(grpc_calls.unfinished, connections=40)),
    Flood("unread", "200 connections never read large answers", partial(bodies.unread, connections=200)),
    _pictures("photo-1", CMYK_64, 1, _CMYK_64),
    _pictures("photo-2", CMYK_64, 2, _CMYK_64),
    _pictures("photo-8", CMYK_64, 8, _CMYK_64),
    _pictures("photo-24-8", CMYK_24, 8, _CMYK_24),
    _pictures("palette-8", PALETTE_64, 8, _PALETTE),
    Flood(
        "long-request",
        f"32 × {_PALETTE} in one request; the client leaves after 0.5 s",
        partial(single.long_request, connections=1),
        bounds=_NEXT,
    ),
    Flood(
        "long-request-8",
        f"8 requests at once with 32 × {_PALETTE}; the clients leave after 0.5 s",
        partial(single.long_request, connections=8),
        bounds=_NEXT,
    ),
    _log("log-unread", "unread pipe", "nothing reads stderr"),
    _log("log-left", "left pipe", "the reader of stderr has left"),
    _log("log-full", "full disk", "the disk of stderr is full"),
    _pipelined("metrics", 5),
    _pipelined("live", 20),
    _pipelined("401", 20, "a wrong API key", has_key=True),
    _pipelined("404", 20),
    _pipelined("400", 20, "bad requests with 8 kB of headers"),
    _pipelined("openapi", 20),
    _pipelined("infer", 20, "inference of one image"),
    Flood("grpc-pipeline", "gRPC: 20 connections pipeline ServerLive", partial(grpc_calls.pipelined, connections=20)),
    Flood("half-headers", "3,000 half-sent headers", partial(connections.half_headers, connections=3000)),
    Flood(
        "half-headers-spread",
        "3,000 half-sent headers from 250 addresses",
        partial(connections.half_headers, connections=3000, addresses=250),
    ),
    Flood("idle", "3,000 connections without a request", partial(connections.idle, connections=3000)),
    Flood(
        "idle-spread",
        "3,000 connections after one request, from 250 addresses",
        partial(connections.idle, connections=3000, addresses=250, after_answer=True),
    ),
    Flood("idle-grpc", "gRPC: 3,000 connections without a byte", partial(connections.idle_grpc, connections=3000)),
    Flood("churn", "500 connections a second, half-sent headers", partial(connections.churn, per_s=500)),
    Flood("slow-bodies", "400 bodies, 2 bytes a second", partial(connections.slow_bodies, connections=400)),
    Flood(
        "handshakes",
        "TLS: 1,000 handshakes that never finish",
        partial(connections.handshakes, connections=1000, is_whole=True),
        has_tls=True,
    ),
    Flood(
        "half-handshakes",
        "TLS: 1,000 half-sent first messages",
        partial(connections.handshakes, connections=1000, is_whole=False),
        has_tls=True,
    ),
    Flood(
        "stopped-worker", "SIGSTOP of the worker", single.stop_worker, stops_worker=True, bounds={single.BACK_S: 30.0}
    ),
    Flood("overload", "wrk: 256 connections, one image", partial(single.overload, connections=256), needs="wrk"),
)
