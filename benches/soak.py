#!/usr/bin/env python3
"""A soak: half of the clients are hostile, and the other half must not notice.

    cargo build --profile dist && benches/soak.py                20 minutes
    benches/soak.py --minutes 2 --binary target/debug/nightaudit

The hostile ones are silent, send heads and bodies byte by byte, don't read large responses, close the windows of HTTP/2
streams, and reset connections. The good ones ask in turn through nightaudit and the upstream itself. It is passed when no
good request fails, the 99th percentile of those through nightaudit is less than 50 ms over that of those without it, and
the memory of `serve` is flat in the second half. Everything stays on loopback, and ends by itself.
"""

import argparse
import asyncio
import multiprocessing
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL, LARGE = 2_000, 2_000_000
GOOD, RATE = 16, 10
SAMPLE = 2.0
TOKENS = '{"ClientToken":"soak-client","AccessToken":"soak-access","Client":"Soak 1.0"'
BODY = TOKENS + ',"Padding":"' + "x" * 400 + '"}'


def request(operation, body=BODY, length=None):
    head = f"POST /api/connector/v1/{operation} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n{body}".encode()


# The upstream.


async def answer(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            await reader.readexactly(length)
            size = LARGE if "/large" in head.split("\r\n", 1)[0] else SMALL
            body = b'{"Text":"' + b"x" * (size - 11) + b'"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


def upstream(port):
    async def serve():
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


# Good clients.


async def ask(reader, writer):
    begun = time.perf_counter()
    writer.write(request("rates/getAll"))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(head.split("\r\n")[0])
    return time.perf_counter() - begun


async def good(ports, end, times, errors):
    ways = {}
    while time.monotonic() < end:
        for way, port in ports.items():
            try:
                if way not in ways:
                    ways[way] = await asyncio.open_connection("127.0.0.1", port)
                times[way].append(await asyncio.wait_for(ask(*ways[way]), 60))
            except (OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                ways.pop(way, (None, None))
                errors.append(f"{way}: {type(error).__name__} {error}")
        await asyncio.sleep(random.uniform(0.5, 1.5) / RATE)


def good_clients(ports, seconds, result):
    async def run():
        times, errors, end = {way: [] for way in ports}, [], time.monotonic() + seconds
        await asyncio.gather(*(good(ports, end, times, errors) for _ in range(GOOD)))
        result.send((times, errors))

    asyncio.run(run())


# Hostile clients.


async def silent(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.wait_for(reader.read(1), random.uniform(1, 90))
    writer.close()


async def drips(port, text):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.5)
    writer.close()


async def slow_head(port):
    await drips(port, request("rates/getAll"))


async def slow_body(port):
    await drips(port, request("rates/getAll", "{", 100_000))


async def unread(port):
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    with plain:
        await asyncio.get_running_loop().sock_sendall(plain, request("rates/large"))
        await asyncio.sleep(random.uniform(5, 90))


async def resets(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = request(random.choice(["rates/getAll", "rates/large"]))
    writer.write(text[: random.randrange(1, len(text) + 1)])
    await asyncio.sleep(random.uniform(0, 0.1))
    # At once, and without a word.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await asyncio.sleep(0.2)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    return b"\0" + b"".join(bytes([len(text)]) + text for text in (name, value))


async def closed_window(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/api/connector/v1/rates/large")]
    block = b"".join(literal(*field) for field in fields)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"\0\4\0\0\0\0"))
    for stream in range(1, 65, 2):
        writer.write(frame(1, 5, stream, block))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        head = await asyncio.wait_for(reader.readexactly(9), 60)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] in (4, 6) and not head[4] & 1:
            writer.write(frame(head[3], 1, 0, payload if head[3] == 6 else b""))
    writer.close()


HOSTILE = [(silent, 8), (slow_head, 4), (slow_body, 4), (unread, 4), (resets, 4), (closed_window, 2)]


def hostile_clients(port, seconds):
    async def again(kind, end):
        while time.monotonic() < end:
            try:
                await kind(port)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                await asyncio.sleep(0.1)

    async def run():
        end = time.monotonic() + seconds
        tasks = [asyncio.create_task(again(kind, end)) for kind, count in HOSTILE for _ in range(count)]
        await asyncio.wait(tasks, timeout=seconds)

    asyncio.run(run())


# The whole.


def memory(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def verdict(times, errors, rss, code):
    direct, through = times["direct"], times["through"]
    if not direct or not through:
        return ["no good request was answered"]
    half = rss[len(rss) // 2 :]
    third, last = half[: len(half) // 2], half[len(half) // 2 :]
    p99 = {way: percentile(times[way], 0.99) for way in times}
    for way in times:
        middle = percentile(times[way], 0.5)
        print(f"{way:8} {len(times[way])} requests, median {middle:.1f} ms, p99 {p99[way]:.1f} ms, longest {max(times[way]) * 1000:.0f} ms")
    print(f"memory   {rss[0]:.0f} MiB at the start, {max(rss):.0f} MiB at most; at most {max(third):.0f} and {max(last):.0f} MiB in the last two quarters")
    problems = [f"{len(errors)} good requests failed, such as {errors[0]}"] if errors else []
    if p99["through"] >= p99["direct"] + 50:
        problems.append(f"p99 is {p99['through'] - p99['direct']:.0f} ms over the upstream's own")
    if max(last) > max(third) * 1.1 + 8:
        problems.append("memory grows in the second half")
    if code != 0:
        problems.append(f"serve ended with {code}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "dist" / "nightaudit")
    parser.add_argument("--data", type=Path, help="where the log is written; by default a folder that is deleted")
    parser.add_argument("serve", nargs="*", help="further arguments of serve, after --")
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    data = arguments.data or Path(tempfile.mkdtemp(prefix="nightaudit-soak-"))
    receiver, sender = multiprocessing.Pipe(False)
    mews = multiprocessing.Process(target=upstream, args=(sender,), daemon=True)
    mews.start()
    direct = receiver.recv()
    command = [arguments.binary, "serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--data", data, "--upstream"]
    command += [f"http://127.0.0.1:{direct}", "--upstream-proxy", "none", "--limit", "1000000/1s", "--log", "warn", *arguments.serve]
    serve = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        port = int(serve.stdout.readline().split()[1].rsplit(":", 1)[1])
        receiver, sender = multiprocessing.Pipe(False)
        ports = {"direct": direct, "through": port}
        clients = [
            multiprocessing.Process(target=good_clients, args=(ports, seconds, sender), daemon=True),
            multiprocessing.Process(target=hostile_clients, args=(port, seconds), daemon=True),
        ]
        for client in clients:
            client.start()
        rss, end = [], time.monotonic() + seconds + 90
        while not receiver.poll(SAMPLE):
            if serve.poll() is not None or time.monotonic() > end:
                sys.exit(f"serve ended with {serve.poll()}, or the clients hang")
            rss.append(memory(serve.pid))
        times, errors = receiver.recv()
        for client in clients:
            client.terminate()
    finally:
        serve.terminate()
        code = serve.wait(timeout=90)
        mews.terminate()
        if not arguments.data:
            shutil.rmtree(data, ignore_errors=True)
    problems = verdict(times, errors, rss, code)
    for problem in problems:
        print(f"FAILED: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
