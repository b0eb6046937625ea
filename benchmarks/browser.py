"""A headless Chromium that is told what to do over a pipe: for pictures of pages and what they cost to use."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60  # seconds
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


class Browser:
    """One page of a headless Chromium.

    Raises:
        FileNotFoundError: no Chromium on this machine.
    """

    def __init__(self) -> None:
        if CHROMIUM is None:
            raise FileNotFoundError("no chromium, chromium-browser or google-chrome on this machine")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        there, self.out = os.pipe()
        self.back, here = os.pipe()
        # Chromium reads what it is told from its descriptor 3 and answers to 4; first out of each other's way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there, here)]

        def wire() -> None:
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self.profile.name}"],
            preexec_fn=wire, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (there, here, *ends):
            os.close(end)
        self.pending, self.count, self.session = b"", 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")
        self.send("Performance.enable", timeDomain="threadTicks")  # processor time, not the clock's

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self.out)
        os.close(self.back)
        self.profile.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command of the DevTools protocol."""
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.pending:
            if not select.select([self.back], [], [], PATIENCE)[0]:
                raise RuntimeError(f"Chromium has not answered for {PATIENCE} s")
            some = os.read(self.back, 1 << 20)
            if not some:
                raise RuntimeError("Chromium ended")
            self.pending += some
        text, _, self.pending = self.pending.partition(b"\0")
        return json.loads(text)

    def open(
        self, path: Path, width: int = 1280, height: int = 800, *, is_dark: bool = False, scale: float = 1
    ) -> None:
        """Load a file in a window of that many CSS pixels and wait until it is drawn."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=path.absolute().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass
        self.drawn()

    def drawn(self) -> None:
        """Waits until two frames have been drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, whose policy does not hold for it."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key of ``KEYS`` down and up, as from a keyboard."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code={" ": "Space"}.get(key, key),
                      windowsVirtualKeyCode=KEYS[key], **more)  # fmt: skip

    def seconds(self) -> float:
        """Processor seconds that the page's main thread has used since it was opened."""
        found = {one["name"]: one["value"] for one in self.send("Performance.getMetrics")["metrics"]}
        return float(found["TaskDuration"])

    def picture(self, path: Path, box: tuple[float, float, float, float] | None = None) -> None:
        """A PNG of the window, or of a box (x, y, width, height) of the page in CSS pixels."""
        more: dict[str, Any] = {}
        if box is not None:
            more = {"clip": dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1},
                    "captureBeyondViewport": True}  # fmt: skip
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", **more)["data"]))
