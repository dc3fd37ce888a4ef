"""The page of ranked lists: its model, its text, and what a browser makes of it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import UsageError
from edgereid.retrieval.ranking import RankedLists
from edgereid.show.lists import choose, views
from edgereid.show.options import ShowOptions
from edgereid.show.page import POLICY, EngineSummary, Page, render
from edgereid.show.thumbnails import overlay, thumbnail

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = '0003_c1s1_<script>alert("x")&.jpg'


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (64, 128)) -> Path:
    noise = np.random.default_rng(sum(colour)).integers(-40, 40, (size[1], size[0], 3))
    Image.fromarray(np.uint8(np.clip(noise + np.array(colour), 0, 255))).save(path)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    names = ["0001_c1s1_0.jpg", "0002_c1s1_0.jpg", HOSTILE]
    query = tuple(
        ImageRecord(picture(tmp_path / name, (40 * i, 90, 200)), i + 1, 1)
        for i, name in enumerate(names)
    )
    gallery = tuple(
        ImageRecord(picture(tmp_path / f"g{i}.jpg", (200, 30 * i, 60)), i % 3 + 1, 2)
        for i in range(6)
    )
    return ReidDataset("tiny", tmp_path, (), query, gallery)


def lists(index: list[list[int]], ap: list[float]) -> RankedLists:
    """Answers over the fixture's gallery, where entry g is of person g % 3 + 1."""
    gallery = np.array(index)
    right = (gallery % 3 == np.arange(3)[:, None]) & (gallery >= 0)
    first = np.array([int(np.argmax(row)) + 1 if row.any() else 9 for row in right])
    distance = np.where(gallery >= 0, 0.1 * (1 + np.arange(gallery.shape[1])), np.inf)
    return RankedLists(np.arange(3), gallery, distance, right, first, np.array(ap))


FLOAT = lists([[0, 3, 1], [4, 0, 1], [2, 5, -1]], [1.0, 0.5, 0.9])
INT8 = lists([[0, 1, 3], [5, 4, 2], [2, 5, -1]], [0.8, 0.6, 0.9])
ENGINES = (
    EngineSummary("ONNX Runtime FP32", "b/model.onnx", "cosine", 1.0, 0.8),
    EngineSummary("OpenVINO INT8", "b/engine.xml", "cosine", 0.67, 0.77),
)


def page_of(dataset: ReidDataset, heat: bool = False) -> str:
    chosen = views(dataset, [FLOAT, INT8])
    paths = {r.path for r in (*dataset.query, *dataset.gallery)}
    maps = [overlay(v.record.path, np.eye(4, dtype=np.float32)) if heat else None for v in chosen]
    page = Page("tiny", 3, 6, "worst", ENGINES, tuple(chosen), tuple(maps))
    return render(page, {path: thumbnail(path) for path in paths})


def test_flips_and_moves_are_those_between_the_lists(dataset: ReidDataset) -> None:
    first, second, third = views(dataset, [FLOAT, INT8])
    assert first.answers[1].flips == {2, 3}  # 3 (right) and 1 (wrong) changed places
    assert [e.before for e in first.answers[1].entries] == [1, 3, 2]
    assert second.answers[1].flips == {1, 2, 3}
    assert [e.before for e in second.answers[1].entries] == [None, 1, None]
    assert third.answers[1].flips == frozenset()
    assert len(third.answers[0].entries) == 2  # the list is short
    assert first.change == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("sort", "pids"),
    [("worst", [2, 1, 3]), ("best", [3, 1, 2]), ("flips", [1, 2, 3]), ("file", [1, 2, 3])],
)
def test_queries_are_sorted_as_asked(dataset: ReidDataset, sort: str, pids: list[int]) -> None:
    every = views(dataset, [FLOAT, INT8])
    assert [v.record.pid for v in choose(every, sort, 3)] == pids
    assert [v.record.pid for v in choose(every, sort, 2)] == pids[:2]


@pytest.mark.parametrize("sort", ["worst", "best", "flips", "file"])
def test_equals_stand_in_the_order_of_their_file_names(dataset: ReidDataset, sort: str) -> None:
    same = lists([[0, 3, 1], [4, 0, 1], [2, 5, -1]], [0.5, 0.5, 0.5])
    turned = ReidDataset("tiny", dataset.root, (), dataset.query[::-1], dataset.gallery)
    for known in (dataset, turned):
        chosen = choose(views(known, [same, same]), sort, 3)
        assert [v.record.pid for v in chosen] == [1, 2, 3]


def test_arrows_say_where_an_entry_came_from(dataset: ReidDataset) -> None:
    """In the first query's second list: rank 1 as before, rank 2 was 3, rank 3 was 2."""
    text = page_of(dataset)
    second = text.split("OpenVINO INT8")[3]  # the head of the page names it twice
    said = re.findall(r"</span> (.*?)<br>", second.split("</ol>")[0])
    assert said == ["1", "2 &#8593;1", "3 &#8595;1"]


def test_the_map_is_bright_where_the_network_responds(tmp_path: Path) -> None:
    path = picture(tmp_path / "grey.png", (128, 128, 128))
    heat = np.array([[1.0, 0.0]], dtype=np.float32)
    data = base64.b64decode(overlay(path, heat).partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (72, 144)
        left, right = np.asarray(image, dtype=int)[:, [4, 67]].mean(0)
    assert left.sum() > right.sum() + 200
    assert left[0] > left[2] + 20  # yellow
    assert right[2] >= right[0]  # dark blue


def test_a_hostile_file_name_stays_a_name_and_nothing_is_loaded_from_outside(
    dataset: ReidDataset,
) -> None:
    text = page_of(dataset)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert POLICY in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text)


@pytest.mark.parametrize(
    "change", [{"queries": 0}, {"top": 51}, {"sort": "random"}, {"metric": "l1"}, {"paths": ()}]
)
def test_options_out_of_range_are_refused(change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"paths": (Path("b"),), "data": Path("d"), "out": Path("o")}
    with pytest.raises(UsageError):
        ShowOptions(**(values | change))


PROBE = """<script>
const li = [...document.querySelectorAll('li')];
const frame = e => getComputedStyle(e.querySelector('img')).borderTopColor;
const found = {
  images: document.images.length,
  broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length,
  right: [...new Set(li.filter(e => e.className.includes('right')).map(frame))].join(';'),
  wrong: [...new Set(li.filter(e => !e.className.includes('right')).map(frame))].join(';'),
  flips: li.filter(e => e.className.includes('flip')).length,
  marked: [...new Set(li.map(e => getComputedStyle(e.querySelector('figcaption')).backgroundColor))]
    .join(';'),
  outside: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length,
};
document.body.dataset.found = JSON.stringify(found);
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed")
def test_a_browser_shows_every_image_and_the_right_frames(
    dataset: ReidDataset, tmp_path: Path
) -> None:
    # A copy with a script that reports; the page itself has none and forbids them. What else its
    # policy forbids stays forbidden.
    allowed = f"{POLICY}; script-src 'unsafe-inline'"
    text = page_of(dataset, heat=True).replace(POLICY, allowed)
    text = text.replace("</body>", f"{PROBE}</body>")
    copy = tmp_path / "copy.html"
    copy.write_text(text, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, profile, "--virtual-time-budget=5000", "--dump-dom",
         copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    match = re.search(r'data-found="([^"]*)"', done.stdout)
    assert match, done.stdout[-500:]
    found = match.group(1).replace("&quot;", '"')
    assert '"broken":0' in found
    assert f'"images":{3 * 2 + 8 + 8}' in found  # queries with maps, entries of both engines
    assert '"right":"rgb(26, 127, 55)"' in found
    assert '"wrong":"rgb(207, 34, 46)"' in found
    assert '"flips":5' in found
    assert '"marked":"rgba(0, 0, 0, 0);rgb(255, 248, 197)"' in found
    assert '"outside":0' in found


def test_fifty_queries_of_two_engines_stay_below_twenty_megabytes(tmp_path: Path) -> None:
    """By the size of a picture: noise at 256x128 compresses worse than any photograph."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert len(thumbnail(tmp_path / "noise.png")) * 50 * (2 * 10 + 2) < 20e6
