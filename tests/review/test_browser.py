"""The pages in a real browser: they ask for nothing else, and marks are kept and saved."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bussynth.review.approval import record_review
from bussynth.review.config import ReviewConfig
from bussynth.review.pages import write_pages

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

# The page of a review runs its own script only, so the page around it presses the keys.
DRIVER = """<!DOCTYPE html><title>driver</title><pre id="out"></pre>
<iframe id="f" src="/page-0001.html" style="width:900px;height:700px;border:0"></iframe>
<script>
const frame = document.getElementById("f"), said = [];
const load = (url) => new Promise((done) => { frame.onload = done; frame.src = url; });
const inner = () => frame.contentDocument;
const press = (...keys) => keys.forEach((key) =>
  inner().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
const marks = () => [...inner().querySelectorAll(".tile")].map((t) => t.dataset.mark ?? ".").join("");
const count = () => inner().querySelector('[data-role="count"]').textContent;
const button = (name) => inner().querySelector(`[data-do="${name}"]`).click();
const at = () => [...inner().querySelectorAll(".tile")].findIndex((t) => t.tabIndex === 0);
addEventListener("load", async () => {
  said.push(marks(), String(at()));
  press("a", "r", "ArrowRight", "a", "ArrowLeft", "u");
  said.push(marks(), String(at()), count());
  press("ArrowDown", "ArrowDown", "z");
  said.push(String(inner().querySelector("dialog").open));
  press("r", "z");
  said.push(marks(), String(inner().querySelector("dialog").open));
  inner().querySelectorAll(".tile")[2].querySelector('button[data-mark="r"]').click();
  said.push(marks());
  await load("/page-0002.html");
  said.push(marks(), count());
  button("fine");
  said.push(marks(), count());
  await load("/page-0001.html");
  said.push(marks(), count(), String(inner().documentElement.scrollWidth <= 900));
  await load("/index.html");
  said.push(count(), [...inner().querySelectorAll("[data-looked]")].map((c) => c.textContent).join());
  let blob = null;
  frame.contentWindow.URL.createObjectURL = (made) => { blob = made; return "#"; };
  button("save");
  said.push(inner().querySelector('[data-role="status"]').textContent, await blob.text());
  document.getElementById("out").textContent = JSON.stringify(said);
});
</script>"""  # noqa: E501


class _Site:
    """Serves a folder of pages and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                file = folder / self.path.lstrip("/")
                found = DRIVER.encode() if self.path == "/driver.html" else None
                if found is None and file.is_file():
                    found = file.read_bytes()
                self.send_response(404 if found is None else 200)
                kind = "text/html; charset=utf-8" if file.suffix == ".html" else "image/png"
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def browse(profile: Path, address: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={profile}", "--enable-logging=stderr",
            "--dump-dom", *flags, address,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return [line for line in said if "favicon.ico" not in line]


@pytest.fixture
def site(cohort: Path) -> Iterator[_Site]:
    made = _Site(write_pages(cohort, config=ReviewConfig(per_page=5)).index.parent)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_marks_are_kept_counted_and_saved(
    site: _Site, cohort: Path, tmp_path: Path, marks: Callable[..., Path]
) -> None:
    address = f"http://127.0.0.1:{site.server.server_port}/driver.html"
    done = browse(tmp_path / "profile", address, "--virtual-time-budget=20000")
    assert not complaints(done)
    found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout)
    assert found, done.stdout[:2000]
    said = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    *seen, saved = said
    assert seen == [
        ".....", "0",
        # a fine, r reject, each with a step; a step over the third; then back and one taken away.
        "ar...", "3", "2 of 8 looked at, 1 rejected",
        "true", "ar..r", "false", "arr.r",
        "...", "4 of 8 looked at, 3 rejected",
        "aaa", "7 of 8 looked at, 3 rejected",
        "arr.r", "7 of 8 looked at, 3 rejected", "true",
        "7 of 8 looked at, 3 rejected", "4,3",
        "Saved: 7 looked at, 3 rejected. 1 are not marked, so the review is not complete.",
    ]  # fmt: skip
    file = marks(cohort)
    content = json.loads(saved)
    assert set(content) == set(json.loads(file.read_text()))
    file.write_text(saved)
    approval = record_review(cohort, [file], reviewer="A")
    assert (approval.looked_at, len(approval.rejected), approval.complete) == (7, 3, False)
    own = {path for path in site.asked if not path.endswith(".png")}
    assert own <= {
        *("/driver.html", "/page-0001.html", "/page-0002.html", "/index.html", "/favicon.ico"),
    }
    assert all(path.startswith("/page-") for path in site.asked if path.endswith(".png"))


def test_pictures_are_shown_from_a_folder(cohort: Path, tmp_path: Path) -> None:
    index = write_pages(cohort).index
    file = index.with_name("page-0001.html").as_uri()
    done = browse(tmp_path / "profile", file)
    # A picture, the style or the script that the policy forbids would be a complaint.
    assert not complaints(done)
    assert "0 of 8 looked at, 0 rejected" in done.stdout
