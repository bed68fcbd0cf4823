"""Throughput of every stage of the road, each beside what bounds it.

    python -m benchmarks.throughput [--repeats N] [--only STAGE]

Stage and limit run in turn in one process, so that a busy machine slows both; read the
ratio first. The limits are: for the simulator, encoding and writing images that exist; for
ingest and load, decoding the same bytes with Pillow; for training and sampling, the bare
network passes; for search, a matrix product with a partial sort, which is not exact; for
the command line, importing typer and rich.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import Comparison, compare

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SIZE = 64


def phantom(folder: Path, repeats: int) -> Comparison:
    """Simulate, encode and write, with all cores."""
    import bussynth
    from bussynth.cohort import Cohort, Row

    patients = 300
    first = bussynth.phantom(folder / "first", patients=patients, image_size=SIZE)
    rows = [(row.id, row.image, row.mask, row.patient, row.lesion_box) for row in first]

    def write() -> None:
        Cohort.create(
            folder / "written",
            (
                Row.from_arrays(id=id, image=image, mask=mask, patient=patient, lesion_box=box)
                for id, image, mask, patient, box in rows
            ),
            kind="phantom",
            image_size=SIZE,
            vocabulary=first.vocabulary,
            masks=True,
            force=True,
        )

    return compare(
        "phantom",
        len(rows),
        "images/s",
        lambda: bussynth.phantom(
            folder / "again", patients=patients, image_size=SIZE, workers=CORES, force=True
        ),
        "encoding and writing alone",
        write,
        repeats,
    )


def ingest(folder: Path, repeats: int) -> Comparison:
    """Read a folder of PNG files and a table into a cohort, with one worker."""
    import bussynth

    source = folder / "scans"
    source.mkdir()
    rng = np.random.default_rng(0)
    count = 300
    with (folder / "scans.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "person", "finding"])
        for i in range(count):
            speckle = rng.rayleigh(40, (300, 400)).clip(0, 255).astype(np.uint8)
            Image.fromarray(speckle).save(source / f"{i}.png")
            table.writerow([f"{i}.png", f"P{i // 2}", "benign"])
    (folder / "map.toml").write_text(
        '[image]\npath = "{file}"\n[patient]\ncolumn = "person"\n'
        '[conditions.pathology]\ncolumn = "finding"\nvalues = { benign = "benign" }\n'
        '[conditions.device]\nconstant = "d"\n'
    )

    def decode() -> None:
        for path in source.iterdir():
            np.asarray(Image.open(path))

    return compare(
        "ingest",
        count,
        "images/s",
        lambda: bussynth.ingest_folder(
            source,
            folder / "ingested",
            table=folder / "scans.csv",
            map=folder / "map.toml",
            site_key=folder / "site.key",
            image_size=SIZE,
            force=True,
        ),
        "decoding with Pillow",
        decode,
        repeats,
    )


def _network() -> tuple[Callable[[bool], None], int]:
    """A bare pass of the network of small-64 on one fixed batch, with or without gradient."""
    import torch

    from bussynth.generator.conditions import ConditionEncoder
    from bussynth.generator.network import Architecture
    from bussynth.generator.presets import PRESETS
    from bussynth.generator.training import build_denoiser

    preset = PRESETS["small-64"]
    words = {"pathology": ("normal", "benign", "malignant"), "device": ("a", "b")}
    architecture = Architecture.of(preset, (SIZE, SIZE), words)
    denoiser = build_denoiser(architecture, 0)
    rows = [{"pathology": "benign", "device": "a", "lesion_box": (10, 10, 30, 30)}]
    n = preset.batch_size
    batch = ConditionEncoder(words, (SIZE, SIZE)).encode(rows * n)
    x = torch.randn(n, 4, SIZE // 2, SIZE // 2)
    sigma = torch.ones(n)

    def run(gradient: bool) -> None:
        with torch.set_grad_enabled(gradient):
            out = denoiser(x, sigma, batch)
        if gradient:
            out.square().mean().backward()

    return run, n


def training(folder: Path, repeats: int) -> Comparison:
    """Steps of small-64, start-up included."""
    import bussynth

    steps = 15
    bussynth.phantom(folder / "train", patients=60, image_size=SIZE)
    bussynth.split(folder / "train", seed=0)
    network, n = _network()

    def bare() -> None:
        for _ in range(steps):
            network(True)

    return compare(
        "training",
        steps * n,
        "images/s",
        lambda: bussynth.train(
            folder / "train", folder / "model", preset="small-64", steps=steps, force=True
        ),
        "forward and backward passes alone",
        bare,
        repeats,
    )


def sampling(folder: Path, repeats: int) -> Comparison:
    """Twelve-step samples of small-64 without guidance."""
    import bussynth

    if not (folder / "model").exists():
        bussynth.phantom(folder / "train", patients=60, image_size=SIZE)
        bussynth.split(folder / "train", seed=0)
        bussynth.train(folder / "train", folder / "model", preset="small-64", steps=2)
    model = bussynth.Generator.load(folder / "model")
    network, n = _network()
    steps = 12
    rng = np.random.default_rng(0)
    conditions = [model.prior.draw(rng, {}) for _ in range(n)]

    def bare() -> None:
        for _ in range(steps):
            network(False)

    return compare(
        "sampling",
        n,
        "images/s",
        lambda: model.sample(conditions, list(range(n)), steps=steps, batch_size=n),
        "twelve network passes alone",
        bare,
        repeats,
    )


def search(folder: Path, repeats: int) -> Comparison:
    """Exact ten nearest of 20,000 vectors of length 256, by FAISS and float64 re-ranking."""
    from audits.search.exact import nearest

    rng = np.random.default_rng(0)
    queries = rng.standard_normal((1000, 256)).astype(np.float32)
    references = rng.standard_normal((20_000, 256)).astype(np.float32)
    for vectors in (queries, references):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def product() -> None:
        np.argpartition(-(queries @ references.T), 10, axis=1)[:, :10]

    return compare(
        "search",
        len(queries),
        "queries/s",
        lambda: nearest(queries, references, 10, threads=CORES),
        "float32 matrix product and partial sort",
        product,
        repeats,
    )


def load(folder: Path, repeats: int) -> Comparison:
    """Items of a verified package as a torch data set."""
    import bussynth
    from bussynth.cohort import Cohort, Row
    from bussynth.package.keys import generate_key

    bussynth.phantom(folder / "real", patients=40, image_size=SIZE)
    bussynth.split(folder / "real", control=0.4, test=0, seed=0)
    rng = np.random.default_rng(0)
    rows = [
        Row.from_arrays(
            id=f"{i:06d}",
            image=rng.rayleigh(40, (SIZE, SIZE)).clip(0, 255).astype(np.uint8),
            conditions={"pathology": "benign", "device": "a"},
        )
        for i in range(1000)
    ]
    words = {"pathology": ("benign",), "device": ("a",)}
    Cohort.create(folder / "synthetic", rows, kind="synthetic", image_size=SIZE, vocabulary=words)
    # The least audit that opens the gate: its verdict on noise is of no interest here.
    bussynth.audit(
        folder / "synthetic",
        real=folder / "real",
        out=folder / "audit",
        permutations=19,
        bootstrap=20,
        planted=5,
        dose=(1,),
        dose_repeats=1,
    )
    generate_key(folder / "key")
    bussynth.export(
        folder / "synthetic",
        audit=folder / "audit",
        key=folder / "key",
        out=folder / "package",
        accept_inconclusive=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the audit is inconclusive, as said above
        dataset = bussynth.load(folder / "package", trust=folder / "key.pub")

    def decode() -> None:
        for row in rows:
            np.asarray(Image.open(io.BytesIO(row.png)))

    return compare(
        "load",
        len(rows),
        "images/s",
        lambda: [dataset[i] for i in range(len(dataset))],
        "decoding with Pillow",
        decode,
        repeats,
    )


def start(folder: Path, repeats: int) -> Comparison:
    """How long ``bussynth --help`` takes beside importing typer and rich alone."""
    helped = [sys.executable, "-m", "bussynth", "--help"]
    bare = [sys.executable, "-c", "import typer, rich"]
    return compare(
        "help",
        1,
        "calls/s",
        lambda: subprocess.run(helped, check=True, capture_output=True, cwd=folder),
        "importing typer and rich",
        lambda: subprocess.run(bare, check=True, capture_output=True, cwd=folder),
        repeats,
    )


STAGES = {
    "phantom": phantom,
    "ingest": ingest,
    "training": training,
    "sampling": sampling,
    "search": search,
    "load": load,
    "help": start,
}


def lines(names: list[str], repeats: int) -> Iterator[str]:
    """Run stages and yield a line for each."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            yield STAGES[name](Path(folder), repeats).line()


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=sorted(STAGES), action="append")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {CORES} cores, Python {platform.python_version()}, {SIZE} px")
    print("median (min to max) of", arguments.repeats)
    for line in lines(arguments.only or list(STAGES), arguments.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
