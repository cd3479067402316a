"""A stand-in for nginx as the upstream: the same answers, at a fraction of its speed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ANSWER = Path(__file__).resolve().with_name("response.json").read_bytes().strip()
PIECE = 1 << 16


def head(kind: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


async def connection(large: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers requests whose bodies have a Content-Length, one after the other."""
    try:
        while True:
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in request[1:])
            length = next((int(value) for name, _, value in fields if name.lower() == "content-length"), 0)
            await reader.readexactly(length)
            if request[0].split(" ")[1] != f"/{large.name}":
                writer.write(head("application/json", len(ANSWER)) + ANSWER)
                await writer.drain()
                continue
            writer.write(head("application/octet-stream", large.stat().st_size))
            with large.open("rb") as file:
                while piece := file.read(PIECE):
                    writer.write(piece)
                    await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    large = Path(sys.argv[2])
    server = await asyncio.start_server(lambda *streams: connection(large, *streams), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
