#!/usr/bin/env python3
"""The page's list over a log of a million exchanges: what its requests take, cold and warm, and what open pages cost.

    cargo build --profile dist && benches/list.py                1,000,000 exchanges
    benches/list.py --exchanges 100000 --binary target/debug/nightaudit
    benches/list.py --keep /tmp/million                          leaves the log there, or takes the one that is there

Makes exchanges in two sessions, imports them, starts `serve` and asks its console as the page does. Aimed at: the newest rows
less than 0.5 s after the start, any position in less than 150 ms, a filter's first rows in less than 0.3 s, and ten open pages
with a filter each in less than 20 MiB. Everything stays on loopback, and the log is deleted unless it is kept.
"""

import argparse
import datetime
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from recorded import Serve, body, record, ulid

ROOT = Path(__file__).resolve().parent.parent
# 2026-11-01, in ms.
START = 1_793_491_200_000
OPERATIONS = ["configuration/get", "reservations/getAll/2023-06-06", "customers/search", "bills/getAll", "rates/getAll"]
REQUEST = json.dumps({"ClientToken": "REDACTED:00000000000a", "AccessToken": "REDACTED:00000000000b", "Client": "List 1.0", "Limitation": {"Count": 100}})
RESPONSE = json.dumps({"Items": [{"Id": f"{n:08}-0000-4000-8000-000000000000", "Name": f"Item {n}"} for n in range(12)]})


def lines(count):
    """Exchanges, 25 ms apart: a fifth in the second session; one in 100 is a 404, one in 5,000 a 500, one in 1,000 was refused, and one
    in 100 was slow."""
    templates = []
    for operation in OPERATIONS:
        url = f"https://api.mews-demo.com/api/connector/v1/{operation}"
        exchange = {
            "id": "@id", "session": "@session", "sessionName": "@name", "sequence": "@sequence", "environment": "demo",
            "operation": operation, "startedAt": "@started",
            "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": "@end"}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "List 1.0", "clientToken": "REDACTED:00000000000a", "accessToken": "@token", "paginated": True},
            "request": {"method": "POST", "url": url, "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}], **body(REQUEST)},
            "response": {"status": "@status", "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}], "requestId": "@request", **body(RESPONSE)},
            "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0, "retryAfterS": None},
            "outcome": "@outcome", "error": None,
        }
        text = json.dumps(exchange).replace("%", "%%")
        for name in ("sequence", "status", "end"):
            text = text.replace(f'"@{name}"', f"%({name})s")
        for name in ("id", "session", "name", "started", "token", "request", "outcome"):
            text = text.replace(f"@{name}", f"%({name})s")
        templates.append(text + "\n")
    sessions = [(ulid(START, 1), "first"), (ulid(START + count * 20, 2), "second")]
    epoch = datetime.datetime(1970, 1, 1)
    sequences = [0, 0]
    for number in range(count):
        at = START + number * 25
        which = int(number >= count * 4 // 5)
        sequences[which] += 1
        session, name = sessions[which]
        status, outcome = (404, "answered") if number % 100 == 7 else (500, "answered") if number % 5000 == 11 else (200, "answered")
        if number % 1000 == 13:
            status, outcome = 429, "refused"
        yield templates[number % 5] % {
            "id": ulid(at, number << 16), "session": session, "name": name, "sequence": sequences[which], "status": status,
            "end": 85120 + number * 7919 % 5000 + number % 100 // 99 * 10_000, "outcome": outcome, "started": (epoch + datetime.timedelta(milliseconds=at)).isoformat(timespec="microseconds") + "Z",
            "token": f"REDACTED:{number % 20:012x}", "request": f"req-{number}",
        }


def ms(seconds):
    return f"{seconds * 1000:.0f} ms"


def say(what, times, bound=None):
    times = sorted(times)
    verdict = "" if bound is None else "  (aimed at: " + ms(bound) + ")" + ("" if times[-1] < bound else "  MISSED")
    text = ms(times[0]) if len(times) == 1 else f"median {ms(times[len(times) // 2])}, all within {ms(times[-1])}"
    print(f"{what:<58} {text}{verdict}", flush=True)


def first_rows(binary, data, filter):
    """Seconds to the newest rows of a filter, by a process that was asked for nothing but the newest rows."""
    serve = Serve(binary, data)
    try:
        serve.get("rows?from=-100&limit=100")
        return serve.get(f"rows?{filter}&from=-100&limit=100")[1]
    finally:
        serve.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--exchanges", type=int, default=1_000_000)
    parser.add_argument("--binary", default=ROOT / "target/dist/nightaudit")
    parser.add_argument("--keep", type=Path, help="the data folder to leave the log in")
    arguments = parser.parse_args()
    binary, count = arguments.binary, arguments.exchanges
    folder = Path(tempfile.mkdtemp(prefix="nightaudit-list-"))
    serve = None
    try:
        data = arguments.keep or folder / "data"
        if not (data / "sessions").exists():
            took = record(binary, data, lines(count))
            print(f"{count:,} exchanges, made and imported in {took:.0f} s", flush=True)

        serve = Serve(binary, data)
        newest, _ = serve.get("rows?from=-100&limit=100")
        say("from the start of the process to the newest 100 rows", [time.perf_counter() - serve.begun], 0.5)
        assert newest["total"] == count and newest["rows"][-1]["sequence"] == count - count * 4 // 5
        filters = {
            "status=404": 100,
            "status=500": 5000,
            "outcome=refused": 1000,
            "operation=customers/*": 5,
            "session=second&token=REDACTED:000000000003": 100,
            "slower-than=90ms": 100,
            "request-id=req-500000": count,
        }
        say("a filter's first 100 rows, the first time", [serve.get(f"rows?{it}&limit=100")[1] for it in filters], 0.3)
        say("the same, again", [serve.get(f"rows?{it}&limit=100")[1] for it in filters], 0.3)
        say("100 rows at 200 random positions", [serve.get(f"rows?from={random.randrange(count)}&limit=100")[1] for _ in range(200)], 0.15)
        for it, share in filters.items():
            times = [serve.get(f"rows?{it}&from={random.randrange(max(1, count // share // 5))}&limit=100")[1] for _ in range(40)]
            say(f"the same with {it}", times, 0.15)
        say("histogram of everything, the first time", [serve.get("histogram")[1]])
        say("the same, again", [serve.get("histogram")[1] for _ in range(20)])
        say("histogram of a filter, the first time", [serve.get(f"histogram?{it}")[1] for it in filters])
        say("facets of everything, the first time", [serve.get("facets")[1]])
        say("the same, again", [serve.get("facets")[1] for _ in range(20)])
        id = serve.get(f"rows?from={count // 2}&limit=1")[0]["rows"][0]["id"]
        say("an exchange's position, row, contract and neighbours", [serve.get(f"exchanges/{id}/{what}")[1] for what in ("position", "row", "contract", "neighbours?by=operation", "neighbours?by=error")])
        print(f"memory of serve after all that: {serve.memory():.1f} MiB", flush=True)
        serve.stop()
        for it in filters:
            say(f"the newest of {it}, by a new process", [first_rows(binary, data, it)], 0.3)

        # Another process, so that what was kept for the questions above isn't in the way.
        serve = Serve(binary, data)
        serve.get("rows?from=-100&limit=100")
        without = serve.memory()
        until, followers = threading.Event(), []
        for page in range(10):
            filter = f"token=REDACTED:{page:012x}"
            followers.append(threading.Thread(target=serve.follow, args=(filter, until)))
            followers[-1].start()
            for path in (f"rows?{filter}&from=-200&limit=200", f"histogram?{filter}", f"facets?{filter}", f"rows?{filter}&from=1000&limit=200"):
                serve.get(path)
        time.sleep(1)
        print(f"memory of serve: {without:.1f} MiB with the newest rows asked for, {serve.memory():.1f} MiB with ten pages open (aimed at: less than 20 MiB more)")
        until.set()
        for follower in followers:
            follower.join()
    finally:
        if serve is not None:
            serve.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
