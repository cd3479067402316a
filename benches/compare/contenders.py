"""Who takes part: the upstream that all stand in front of, and how each contender is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processes import Failed, Running, free_port

HERE = Path(__file__).resolve().parent
REQUEST = HERE / "request.json"
RESPONSE = HERE / "response.json"
TARGET = "/api/connector/v1/reservations/getAll/2023-06-06"
LARGE = "/large"
LARGE_BYTES = 100 * 1024 * 1024
DIRECT = "direct"

# Far above what any of them reaches: the limit is enforced and never bites.
REQUESTS_PER_SECOND = 1_000_000


@dataclass
class Contender:
    """One that takes part; `start` takes an empty folder and where the upstream is."""

    name: str
    start: Callable[[Path, Place], Running]


@dataclass
class Place:
    """Where the upstream listens, and the certificate that it shows; without one it speaks cleartext."""

    port: int
    certificate: Path | None = None

    @property
    def url(self) -> str:
        """For those that are given a URL. The certificate is for `localhost`."""
        return f"https://localhost:{self.port}" if self.certificate else f"http://127.0.0.1:{self.port}"


def certificate(folder: Path) -> Path:
    """Makes a certificate for `localhost` with its key beside it, which no authority has signed."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"


def secured(folder: Path) -> tuple[Running, Place]:
    """Starts nginx with the fixed answer over TLS, with HTTP/2 and HTTP/1.1."""
    if (nginx := shutil.which("nginx")) is None or shutil.which("openssl") is None:
        raise Failed("an upstream with TLS takes nginx and openssl")
    place = Place(free_port(), certificate(folder))
    answer = RESPONSE.read_text().strip()
    locations = f"""
        ssl_certificate {place.certificate};
        ssl_certificate_key {folder}/key.pem;
        location / {{ default_type application/json; return 200 '{answer}'; }}"""
    configuration = nginx_configuration(folder, f"{place.port} ssl http2", "access_log off;", locations)
    return nginx_running(nginx, "upstream", folder, place.port, configuration), place


def upstream(folder: Path) -> Running:
    """Starts nginx with a fixed answer, or the stand-in written in Python where nginx is missing."""
    port = free_port()
    large = folder / LARGE.strip("/")
    with large.open("wb") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    if (nginx := shutil.which("nginx")) is None:
        command = [sys.executable, str(HERE / "upstream.py"), str(port), str(large)]
        return Running("upstream", command, port, folder / "upstream.out")
    answer = RESPONSE.read_text().strip()
    locations = f"""
        location / {{ default_type application/json; return 200 '{answer}'; }}
        location = {LARGE} {{ root {folder}; default_type application/octet-stream; }}"""
    configuration = nginx_configuration(folder, port, "access_log off;", locations)
    return nginx_running(nginx, "upstream", folder, port, configuration)


def installed(binary: Path) -> tuple[list[Contender], list[str]]:
    """Those that can take part here, and the names of those that can't."""
    contenders = [Contender(f"nightaudit {durability}", nightaudit(binary, durability)) for durability in DURABILITIES]
    missing = []
    for name, program, start in [
        ("nginx", "nginx", nginx_proxy),
        ("HAProxy", "haproxy", haproxy),
        ("mitmdump -w", "mitmdump", mitmdump),
        ("redocly proxy", "redocly", redocly),
    ]:
        if (path := shutil.which(program)) is None:
            missing.append(name)
        else:
            contenders.append(Contender(name, lambda folder, place, path=path, start=start: start(path, folder, place)))
    for name, example, start in [(BARE, "bare", bare), (RECORDING, "bare", recording), (UNRECORDED, "unrecorded", unrecorded)]:
        program = binary.parent / "examples" / example
        if program.is_file():
            contenders.append(Contender(name, lambda folder, place, program=program, start=start: start(program, folder, place)))
        else:
            missing.append(f"{name} (`cargo build --profile dist --example {example}`)")
    return contenders, missing


DURABILITIES = ("batch", "write", "sync")
BARE = "bare hyper"
RECORDING = "bare hyper, recording"
UNRECORDED = "proxy without log"


def bare(program: Path, folder: Path, place: Place) -> Running:
    """What hyper costs by itself: `bare.rs` beside this file, which neither limits nor records. As the next two, it speaks cleartext
    only."""
    port = free_port()
    return Running(BARE, [str(program), f"127.0.0.1:{port}", f"127.0.0.1:{place.port}"], port, folder / "bare.out")


def recording(program: Path, folder: Path, place: Place) -> Running:
    """What hyper and the least of a log cost: `recording.rs` beside this file."""
    port = free_port()
    command = [str(program), f"127.0.0.1:{port}", f"127.0.0.1:{place.port}", str(folder)]
    return Running(RECORDING, command, port, folder / "recording.out")


def unrecorded(program: Path, folder: Path, place: Place) -> Running:
    """This proxy without its log: `unrecorded.rs` beside this file."""
    port = free_port()
    return Running(UNRECORDED, [str(program), f"127.0.0.1:{port}", f"127.0.0.1:{place.port}"], port, folder / "unrecorded.out")


def nightaudit(binary: Path, durability: str) -> Callable[[Path, Place], Running]:
    """This proxy: the limit, the whole record, the answer's end after what `durability` says."""

    def start(folder: Path, place: Place) -> Running:
        port = free_port()
        command = [str(binary), "serve", "--data", str(folder / "data"), "--session", "compare"]
        command += ["--listen", f"127.0.0.1:{port}", "--console", "127.0.0.1:0", "--log", "warn"]
        command += ["--upstream", place.url, "--upstream-proxy", "none"]
        if place.certificate:
            command += ["--upstream-ca", str(place.certificate)]
        command += ["--limit", f"{REQUESTS_PER_SECOND}/1s", "--durability", durability]
        return Running(f"nightaudit {durability}", command, port, folder / "serve.out")

    return start


def nginx_proxy(program: str, folder: Path, place: Place) -> Running:
    """nginx with a limit for each address and an access log; it keeps no bodies, and speaks HTTP/1.1 with the upstream."""
    port = free_port()
    scheme, verify = "http", ""
    if place.certificate:
        scheme = "https"
        verify = f"""
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {place.certificate};
            proxy_ssl_name localhost;"""
    locations = f"""
        location / {{
            limit_req zone=each burst=100000 nodelay;
            proxy_pass {scheme}://up;{verify}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}"""
    rest = f"""
    limit_req_zone $binary_remote_addr zone=each:10m rate={REQUESTS_PER_SECOND}r/s;
    upstream up {{ server 127.0.0.1:{place.port}; keepalive 128; keepalive_requests 100000000; }}
    access_log {folder}/access.log combined;"""
    return nginx_running(program, "nginx", folder, port, nginx_configuration(folder, port, rest, locations))


def nginx_configuration(folder: Path, port: int | str, rest: str, locations: str) -> str:
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n    ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
{user}
worker_processes auto;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    {paths}
    keepalive_requests 100000000;
    sendfile on;
    {rest}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""


def nginx_running(program: str, name: str, folder: Path, port: int, configuration: str) -> Running:
    """An nginx of one's own in the foreground; one that runs as a service is left alone."""
    (folder / "nginx.conf").write_text(configuration)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    return Running(name, [*command, "-g", "daemon off;"], port, folder / "nginx.out")


def haproxy(program: str, folder: Path, place: Place) -> Running:
    """HAProxy with a limit for each address and an access log; it keeps no bodies, and speaks HTTP/1.1 with the upstream."""
    port = free_port()
    tls = f" ssl verify required ca-file {place.certificate} sni str(localhost)" if place.certificate else ""
    (folder / "haproxy.cfg").write_text(f"""
global
    maxconn 4096
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    http-reuse always
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    stick-table type ip size 100k expire 10s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {REQUESTS_PER_SECOND} }}
    default_backend up
backend up
    server up 127.0.0.1:{place.port}{tls}
""")
    return Running("HAProxy", [program, "-db", "-f", str(folder / "haproxy.cfg")], port, folder / "access.log")


def mitmdump(program: str, folder: Path, place: Place) -> Running:
    """mitmproxy without its interface, writing every flow with its bodies."""
    port = free_port()
    command = [program, "--quiet", "--mode", f"reverse:{place.url}", "-w", str(folder / "flows")]
    command += ["--listen-host", "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={folder}/mitmproxy"]
    return Running("mitmdump -w", command, port, folder / "mitmdump.out")


def redocly(program: str, folder: Path, place: Place) -> Running:
    """Redocly's proxy, which writes every exchange with its bodies to a file that becomes a HAR at the end."""
    port = free_port()
    command = [program, "proxy", "--target", place.url, "--har", str(folder / "out.har")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return Running("redocly proxy", command, port, folder / "redocly.out")
