#!/usr/bin/env python3
"""Peak memory of `serve` while many clients send bodies of 1 MiB to an upstream that reads slowly.

    cargo build --release && benches/bodies.py                   2,500 clients
    benches/bodies.py --clients 200 --binary target/debug/nightaudit

All clients send at once; the upstream reads nothing for some seconds, then all, and answers. It is passed when every
request is answered 200 and the peak is below the bound (`body.keep_total`, 256 MiB) and an overhead for each connection.
Everything stays on loopback, and ends by itself.
"""

import argparse
import asyncio
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZE = 1 << 20
BOUND = 256 << 20
# Of one connection, both sides: what is being read and written, and the body's first 16 KiB.
OVERHEAD = 256 << 10
PATIENCE = 300


def raise_limit(files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def upstream(port, stalled):
    raise_limit(20_000)

    async def answer(reader, writer):
        try:
            await asyncio.sleep(max(0, opens - time.monotonic()))
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                left = int(head.split("content-length:")[1].split("\r\n")[0])
                while left > 0:
                    piece = await reader.read(min(left, 65536))
                    if not piece:
                        return
                    left -= len(piece)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve():
        # Without a large buffer of its own, so that what isn't read stays with the proxy and the kernel.
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096, limit=65536)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    opens = time.monotonic() + stalled
    asyncio.run(serve())


async def client(port, token_first):
    tokens, text = b'"ClientToken":"C","AccessToken":"T"', b'"Text":"' + b"x" * SIZE + b'"'
    body = b"{" + (tokens + b"," + text if token_first else text + b"," + tokens) + b"}"
    head = f"POST /api/connector/v1/files/add HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
    try:
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        return answer.split(b" ")[1].decode()
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
        return type(error).__name__
    finally:
        writer.close()


async def load(port, count):
    answers = await asyncio.gather(*(client(port, True) for _ in range(count)))
    return {answer: answers.count(answer) for answer in set(answers)}


def peak(pid, name="VmHWM"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError("no such figure")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=2500)
    parser.add_argument("--stalled", type=float, default=20, help="seconds for which the upstream reads nothing")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/nightaudit")
    arguments = parser.parse_args()
    raise_limit(20_000)
    folder = Path(tempfile.mkdtemp(prefix="bodies-"))
    receiving, sending = multiprocessing.Pipe(duplex=False)
    mews = multiprocessing.Process(target=upstream, args=(sending, arguments.stalled), daemon=True)
    mews.start()
    command = [arguments.binary, "serve", "--upstream", f"http://127.0.0.1:{receiving.recv()}", "--data", folder / "data"]
    command += ["--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--on-limit", "observe"]
    serve = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = serve.stdout.readline()
        port = int(line.split()[1].rsplit(":", 1)[1].strip("/"))
        before, begun = peak(serve.pid), time.monotonic()
        answers = asyncio.run(load(port, arguments.clients))
        taken, most = time.monotonic() - begun, peak(serve.pid)
        print(f"{arguments.clients} clients with 1 MiB each: {answers}, {taken:.1f} s")
        print(f"memory of serve: {before >> 20} MiB at the start, {most >> 20} MiB at most, {peak(serve.pid, 'VmRSS') >> 20} MiB now")
        bound = before + BOUND + arguments.clients * OVERHEAD
        passed = answers == {"200": arguments.clients} and most < bound
        print(f"{'passed' if passed else 'FAILED'}: at most {bound >> 20} MiB were meant")
    finally:
        serve.terminate()
        try:
            serve.wait(60)
        except subprocess.TimeoutExpired:
            serve.kill()
        mews.terminate()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
