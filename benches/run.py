#!/usr/bin/env python3
"""What the certification run of a large session costs at the console, the first time it is asked for and later.

    cargo build --profile dist && benches/run.py [--exchanges 1000000] [--binary target/dist/nightaudit] [--data DIR]

Makes a log with one session of so many exchanges over 48 hours (20 tokens, 8 operations, bodies of 0.3 and 1 KB, one in a
hundred failed) by `log import`, or takes the one that is in --data. Then starts `serve` over it, asks for the run until it is
made, and asks again, each time on a new connection."""

import argparse
import http.client
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

OPERATIONS = ["reservations/getAll/2023-06-06", "customers/getAll", "bills/getAll", "orderItems/getAll", "payments/getAll",
              "resources/getAll", "reservations/cancel", "tasks/close"]
SESSION = "01KAS000000000000000000000"
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
START = 1_795_161_600_000_000
ANSWER = json.dumps({"Items": [{"Id": "3fa85f64"}] * 45, "Cursor": None})


def ulid(milliseconds, number):
    value = (milliseconds << 80) | (7 << 40) | number
    return "".join(DIGITS[(value >> (5 * place)) & 31] for place in range(25, -1, -1))


def body(text):
    import hashlib
    return {"body": text, "bodyEncoding": "utf-8", "bodyLength": len(text),
            "bodySha256": hashlib.sha256(text.encode()).hexdigest(), "truncated": False}


def exchanges(count, out):
    """Writes the exchanges as NDJSON."""
    page, down = body(ANSWER), body('{"Message":"Down."}')
    step = 48 * 3_600_000_000 // count
    for number in range(count):
        at = START + number * step
        operation = OPERATIONS[number % 8]
        token = f"REDACTED:{number // 8 % 20:012x}"
        ids = ",".join(f'"3fa85f64-5717-4562-b3fc-{number * 4 + place:012x}"' for place in range(4))
        paged = ',"Limitation":{"Count":100}' if number % 8 < 6 else ""
        request = body(f'{{"ClientToken":"REDACTED:3f9a1c0b7d24","AccessToken":"{token}","Client":"Acme Kiosk 2.1.0",'
                       f'"Ids":[{ids}]{paged}}}')
        failed = number % 100 == 99
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1_000_000)) + f".{at % 1_000_000:06d}Z"
        out.write(json.dumps({
            "id": ulid(at // 1000, number), "session": SESSION, "sessionName": "numbers", "sequence": number + 1,
            "environment": "demo", "operation": operation, "startedAt": stamp,
            "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": "REDACTED:3f9a1c0b7d24", "accessToken": token,
                         "paginated": bool(paged)},
            "request": {"method": "POST", "url": f"https://api.mews-demo.com/api/connector/v1/{operation}",
                        "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
                        **request},
            "response": {"status": 503 if failed else 200, "httpVersion": "HTTP/1.1", "headers": [], "requestId": "r",
                         **(down if failed else page)},
            "limit": None, "outcome": "answered", "error": None,
        }).encode() + b"\n")


class Console:
    def __init__(self, url):
        address, self.token = re.match(r"http://([^/]+)/[#?]token=(\S+)", url).groups()
        self.address = address

    def get(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text), time.perf_counter() - begun


def processor(process):
    """Seconds of processor time, user and system."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--exchanges", type=int, default=1_000_000)
    options.add_argument("--binary", default="target/dist/nightaudit")
    options.add_argument("--data")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = pathlib.Path(options.data or temporary)
        if not (data / "sessions").exists():
            begun = time.perf_counter()
            importing = subprocess.Popen([options.binary, "log", "import", "-", "--data", data], stdin=subprocess.PIPE)
            exchanges(options.exchanges, importing.stdin)
            importing.stdin.close()
            assert importing.wait() == 0
            print(f"imported   {options.exchanges} exchanges in {time.perf_counter() - begun:.0f} s")
        # Nothing is sent: the upstream is never asked.
        arguments = ["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9",
                     "--data", data]
        serve = subprocess.Popen([options.binary, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = next(line.split()[-1] for line in serve.stdout if line.startswith(("console", "page")))
            console = Console(url)
            before = resident(serve)
            begun, used = time.perf_counter(), processor(serve)
            seen = []
            while True:
                status, run, _ = console.get("/api/v1/sessions/numbers/run")
                if status == 200:
                    break
                assert status == 202, run
                seen.append(run["building"]["read"])
            first = time.perf_counter() - begun
            print(f"first      {first:.1f} s, {processor(serve) - used:.1f} s of processor time, for {run['exchanges']} exchanges; "
                  f"progress was told {len(seen)} times")
            again = sorted(console.get("/api/v1/sessions/numbers/run")[2] for _ in range(20))
            whole = sorted(console.get("/api/v1/sessions/numbers/review")[2] for _ in range(20))
            print(f"again      run {again[10] * 1000:.1f} ms (slowest {again[-1] * 1000:.1f}), "
                  f"review {whole[10] * 1000:.1f} ms (slowest {whole[-1] * 1000:.1f}), medians of 20")
            text = json.dumps({"toml": "use_case = 'kiosk'\n[operations]\n'bills/getAll' = 'what is open'\n"})
            connection = http.client.HTTPConnection(console.address, timeout=60)
            begun = time.perf_counter()
            connection.request("PUT", "/api/v1/sessions/numbers/declaration", body=text,
                               headers={"Authorization": f"Bearer {console.token}"})
            assert connection.getresponse().read() and console.get("/api/v1/sessions/numbers/run")[0] == 200
            print(f"declared   {(time.perf_counter() - begun) * 1000:.0f} ms to store a declaration and have its review")
            print(f"memory     {before} MiB before, {resident(serve)} MiB after")
        finally:
            serve.terminate()
            serve.wait()


if __name__ == "__main__":
    main()
