#!/usr/bin/env python3
"""Test suites of others, through nightaudit: those of requests and httpx, and Autobahn's cases for WebSockets.

    tests/suites/run.py                       all, with target/debug/nightaudit
    tests/suites/run.py httpx --binary PATH   one of them, with another binary
    tests/suites/run.py autobahn --all        all 517 cases instead of those that take seconds

Sources and tools come from PyPI into target/suites. What can't be had is skipped, and said. A test that fails through
nightaudit is run again without it: only what differs counts, and is named. What differs is run up to three times more through it, since
some of these tests depend on microseconds: what passes then is named, and doesn't count.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "suites"
PYTHON = WORK / "venv" / "bin" / "python"

# What a proxy must do differently, by the test that shows it.
EXPECTED = {
    "requests": {
        # It is for the next proxy on the way, which is nightaudit (RFC 9110, section 11.7.2).
        "test_proxy_authorization_preserved_on_request",
    },
    "httpx": set(),
}

SUITES = {
    "requests": ("requests", "2.34.2", "src", ["PySocks", "pytest-httpbin==2.1.0", "httpbin==0.10.4", "pytest-mock"]),
    "httpx": ("httpx", "0.28.1", ".", ["uvicorn", "trio", "h2", "socksio", "brotli", "zstandard", "chardet", "click", "rich"]),
}


class Skipped(Exception):
    pass


# How often what differs is run again.
AGAIN = 3


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=False, **options)


def install(*packages):
    if not PYTHON.exists() and run(sys.executable, "-m", "venv", WORK / "venv").returncode:
        raise Skipped("no virtual environment can be made")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if run(*pip, *packages).returncode:
        raise Skipped("pip can't install what it needs")


def source(name, version):
    """The source package, unpacked."""
    folder = WORK / f"{name}-{version}"
    if not folder.exists():
        pip = [PYTHON, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--no-binary", ":all:", "--no-build-isolation", "--dest", WORK]
        if run(*pip, f"{name}=={version}").returncode:
            raise Skipped(f"the source of {name} can't be had")
        with tarfile.open(WORK / f"{name}-{version}.tar.gz") as archive:
            archive.extractall(WORK, filter="data")
    return folder


def outcomes(suite, folder, path, binary, through, only=()):
    """What became of each test: its name and whether it failed."""
    report = WORK / f"{suite}-{'through' if through else 'direct'}.xml"
    report.unlink(missing_ok=True)
    paths = [str(folder / path)] + ([str(HERE)] if through else [])
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "SUITE": suite, "NIGHTAUDIT": str(binary), "PYTHONPATH": os.pathsep.join(paths)}
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report, "--tb", "short"]
    command += ["-p", "moved"] if through else []
    command += list(only) or ["tests"]
    with open(report.with_suffix(".log"), "w") as log:
        run(*command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if not report.exists():
        sys.exit(f"{suite}: pytest wrote no report: {report.with_suffix('.log')} says why")
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            failed = case.find("failure") is not None or case.find("error") is not None
            results[case.get("classname"), case.get("name")] = failed
    return results


def node(folder, case):
    """The id by which pytest knows a test, of the names in its report."""
    words, name = case[0].split("."), case[1]
    for length in range(len(words), 0, -1):
        file = Path(*words[:length]).with_suffix(".py")
        if (folder / file).exists():
            return "::".join([str(file), *words[length:], name])
    return name


def pytest_suite(suite, binary):
    name, version, path, packages = SUITES[suite]
    install("pytest==9.2.0", "trustme", "setuptools", "wheel", "hatchling", "hatch-fancy-pypi-readme", f"{name}=={version}", *packages)
    folder = source(name, version)
    through = outcomes(suite, folder, path, binary, True)
    failed = [case for case, failed in through.items() if failed]
    differs = failed
    if failed:
        direct = outcomes(suite, folder, path, binary, False, [node(folder, case) for case in failed])
        differs = [case for case in failed if direct.get(case) is False]
    unexpected = [case for case in differs if case[1] not in EXPECTED[suite]]
    passed_later = []
    for _ in range(AGAIN):
        if unexpected:
            again = outcomes(suite, folder, path, binary, True, [node(folder, case) for case in unexpected])
            passed_later += [case for case in unexpected if again.get(case) is False]
            unexpected = [case for case in unexpected if case not in passed_later]
    same = len(failed) - len(differs)
    print(f"{suite}: {len(through)} tests, {len(differs) - len(passed_later)} differ; {same} fail without nightaudit, too")
    for case in differs:
        kind = "passed later" if case in passed_later else "DIFFERS" if case in unexpected else "differs as it must"
        print(f"  {kind}: {case[0]}::{case[1]}")
    return not unexpected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=[], help="requests, httpx, autobahn")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "debug" / "nightaudit")
    parser.add_argument("--all", action="store_true", help="all of Autobahn's cases")
    arguments = parser.parse_args()
    binary = arguments.binary.resolve()
    if not binary.exists():
        sys.exit(f"{binary} is not there: cargo build")
    WORK.mkdir(parents=True, exist_ok=True)
    sys.dont_write_bytecode = True
    good = True
    for suite in arguments.suites or ["requests", "httpx", "autobahn"]:
        try:
            if suite == "autobahn":
                import autobahn

                good &= autobahn.compare(WORK, binary, arguments.all, install, PYTHON, Skipped)
            elif suite in SUITES:
                good &= pytest_suite(suite, binary)
            else:
                sys.exit(f"there is no suite {suite}: requests, httpx and autobahn are")
        except Skipped as reason:
            print(f"== skipped: {suite}: {reason}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
