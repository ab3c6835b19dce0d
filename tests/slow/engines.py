"""Firefox and WebKit, each by its own protocol, as far as a test needs them: open and evaluate.

Firefox speaks WebDriver BiDi by itself (``firefox-esr``); WebKitGTK comes with a WebDriver and a
MiniBrowser (``webkit2gtk-driver``), which needs a display: Xvfb gives one (``xvfb``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

PATIENCE = 240  # seconds for one answer of a page
MINI_BROWSER = ("/usr/lib", "/usr/libexec", "/usr/local/libexec")


class Engine(Protocol):
    """A running browser with one page."""

    def open(self, url: str) -> None: ...

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """What an asynchronous JavaScript function returns, by way of JSON (NaN is None)."""


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _program(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no {' or '.join(names)} on this machine")


@contextmanager
def _running(command: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that ends with the test, and what it started with it."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **more)
    try:
        yield process
    finally:
        for signal in (15, 9):
            try:
                os.killpg(process.pid, signal)
                process.wait(10)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


class _Firefox:
    def __init__(self, address: str) -> None:
        import websocket

        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.number = 0
        self._ask("session.new", capabilities={})
        tree = self._ask("browsingContext.getTree")
        self.context = tree["contexts"][0]["context"]

    def _ask(self, method: str, **given: Any) -> Any:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": given}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, url: str) -> None:
        self._ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def evaluate(self, function: str, *arguments: Any) -> Any:
        given = ", ".join(json.dumps(argument) for argument in arguments)
        answer = self._ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({function})({given})))()",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))


class _WebKit:
    def __init__(self, address: str, binary: str) -> None:
        self.address = address
        options = {"binary": binary, "args": ["--automation"]}
        capabilities = {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}
        made = self._ask("/session", capabilities={"alwaysMatch": capabilities})
        self.address += f"/session/{made['sessionId']}"
        limit = 1000 * PATIENCE
        self._ask("/timeouts", script=limit, pageLoad=limit)

    def _ask(self, path: str, **given: Any) -> Any:
        request = urllib.request.Request(
            self.address + path, json.dumps(given).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE + 30) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def open(self, url: str) -> None:
        self._ask("/url", url=url)

    def evaluate(self, function: str, *arguments: Any) -> Any:
        script = (
            "const done = arguments[arguments.length - 1];"
            f"({function})(...[...arguments].slice(0, -1))"
            ".then((v) => done(['', JSON.stringify(v) ?? 'null']),"
            " (error) => done([String(error), 'null']));"
        )
        failed, text = self._ask("/execute/async", script=script, args=list(arguments))
        assert not failed, failed
        return json.loads(text)


@contextmanager
def firefox() -> Iterator[Engine]:
    """Firefox without a window."""
    program = _program("firefox-esr", "firefox")
    with ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        (Path(profile) / "user.js").write_text(
            'user_pref("browser.shell.checkDefaultBrowser", false);\n'
            'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
            'user_pref("app.update.auto", false);\n'
            'user_pref("network.captive-portal-service.enabled", false);\n'
            'user_pref("network.connectivity-service.enabled", false);\n'
        )
        log = stack.enter_context((Path(profile) / "log").open("w"))
        command = [program, "--headless", "--no-remote", "--profile", profile]
        command += ["--width", "1280", "--height", "900", "--remote-debugging-port", "0"]
        environment = {**os.environ, "HOME": profile, "MOZ_DISABLE_AUTO_SAFE_MODE": "1"}
        process = stack.enter_context(_running(command, stdout=log, stderr=log, env=environment))
        said = _wait_for(r"WebDriver BiDi listening on (ws://\S+)", Path(log.name), process)
        yield _Firefox(f"{said}/session")


@contextmanager
def webkit() -> Iterator[Engine]:
    """WebKitGTK's MiniBrowser on a display of its own."""
    driver, screen = _program("WebKitWebDriver"), _program("Xvfb")
    places = [p for root in MINI_BROWSER for p in Path(root).rglob("MiniBrowser") if p.is_file()]
    if not places:
        pytest.skip("no MiniBrowser of WebKitGTK on this machine")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        log = stack.enter_context((home / "log").open("w"))
        command = [screen, "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        show = stack.enter_context(_running(command, stdout=log, stderr=subprocess.DEVNULL))
        number = _wait_for(r"^(\d+)$", home / "log", show)
        environment = {**os.environ, "DISPLAY": f":{number}", "HOME": str(home)}
        port = _free_port()
        stack.enter_context(
            _running([driver, f"--port={port}"], env=environment, stderr=subprocess.DEVNULL)
        )
        address = f"http://127.0.0.1:{port}"
        _until(lambda: urllib.request.urlopen(f"{address}/status", timeout=5))
        yield _WebKit(address, str(places[0]))


def _wait_for(pattern: str, log: Path, process: subprocess.Popen[str]) -> str:
    for _ in range(600):
        if found := re.search(pattern, log.read_text(), re.M):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{process.args} does not say {pattern}:\n{log.read_text()}")


def _until(attempt: Callable[[], Any]) -> None:
    for _ in range(300):
        try:
            attempt().close()
            return
        except OSError:
            time.sleep(0.1)
    attempt().close()
