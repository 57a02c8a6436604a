"""`python -m onnxport.many`: lists of exports, on this machine and as tasks of Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small import BERT, bert_weights, write_checkpoint

from onnxport.many import main

ray_is_there = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not ray_is_there, reason="ray is not installed: pip install ray")


def command(*words: Any) -> list[str]:
    return [sys.executable, "-m", "onnxport.many", *map(str, words)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six models with a long table of embeddings, so that an export takes a while."""
    folder = tmp_path_factory.mktemp("checkpoints")
    config = BERT | {"vocab_size": 400_000}
    weights = bert_weights(config)
    return [write_checkpoint(folder / f"model{i}", config, weights) for i in range(6)]


def write_list(folder: Path, checkpoints: list[Path]) -> Path:
    path = folder / "list.txt"
    path.write_text("# models\n" + "\n".join(f"{checkpoint} --opset 17" for checkpoint in checkpoints) + "\n")
    return path


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def expect_each_once(out: Path, checkpoints: list[Path]) -> None:
    lines = results(out)
    assert sorted(line["model"] for line in lines) == sorted(map(str, checkpoints))
    for line in lines:
        assert line["status"] == "ok", line
        assert line["report"]["validation"][0]["passed"]
        assert (out / line["folder"] / "model.onnx").is_file()
    assert not list(out.rglob("*.tmp"))
    assert f"{len(checkpoints)} models: {len(checkpoints)} ok, 0 failed" in (out / "summary.md").read_text()


def exports_below(process: int) -> dict[int, int]:
    """The exports that run below a process, with the worker of each."""
    parents, exporting = {}, []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue  # it has ended
        if b"export" in words and b"onnx" in words:
            exporting.append(int(entry.name))
    found = {}
    for one in exporting:
        ancestor = one
        while ancestor > 1 and ancestor != process:
            ancestor = parents.get(ancestor, 0)
        if ancestor == process:
            found[one] = parents[one]
    return found


def wait_for(condition: Any, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
    return value


def test_without_ray_it_is_export_many(tmp_path: Path, bert_folder: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        command(write_list(tmp_path, [bert_folder]), out, "--json"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["done"] == 1
    expect_each_once(out, [bert_folder])


def test_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([str(tmp_path / "none"), str(tmp_path / "out")]) == 7
    assert main(["list", "out", "--ray-address", "here"]) == 2
    assert "no meaning without --ray" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["list", "out", "--ray"]) == 2
    assert "pip install onnxport[ray]" in capfd.readouterr().err


@needs_ray
def test_ray_has_the_lines_of_export_many(tmp_path: Path, bert_folder: Path) -> None:
    models = write_list(tmp_path, [bert_folder])
    broken = tmp_path / "broken"
    broken.mkdir()
    with models.open("a") as file:
        file.write(f"{broken}\n")
    keys, errors = [], []
    for name, flags in {"here": [], "ray": ["--ray"]}.items():
        done = subprocess.run(
            command(models, tmp_path / name, "--no-validate", *flags),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "1 ok, 1 failed, 0 open" in done.stdout
        lines = {line["model"]: line for line in results(tmp_path / name)}
        keys.append({model: (line["key"], sorted(line), line["attempts"]) for model, line in lines.items()})
        errors.append(lines[str(broken)]["error"])
        assert lines[str(bert_folder)]["flags"] == ["--no-validate", "--opset", "17"]
    assert keys[0] == keys[1]
    assert errors[0] == errors[1]
    # Each continues the other's run: nothing is open.
    again = subprocess.run(
        command(models, tmp_path / "ray", "--no-validate", "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert [one["skipped"] for one in json.loads(again.stdout)["results"]] == [True, True]


@needs_ray
def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path, checkpoints: list[Path]) -> None:
    out = tmp_path / "out"
    with (tmp_path / "errors").open("w") as errors:
        run = subprocess.Popen(
            command(write_list(tmp_path, checkpoints), out, "--ray", "--jobs", 2),
            stderr=errors,
            stdout=errors,
        )
        # Two at a time, each by its worker.
        both = wait_for(lambda: len(at := exports_below(run.pid)) == 2 and at)
        assert len(set(both.values())) == 2
        wait_for(lambda: (out / "results.jsonl").exists() and results(out))
        export, worker = next(iter(wait_for(lambda: exports_below(run.pid)).items()))
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{export}").exists())  # it has not outlived its worker
        assert run.wait(timeout=300) == 0, (tmp_path / "errors").read_text()
    expect_each_once(out, checkpoints)
    assert [line["attempts"] for line in results(out)].count(2) == 1
    assert "was lost with its worker" in (tmp_path / "errors").read_text()


@needs_ray
def test_a_run_that_is_stopped_goes_on(tmp_path: Path, checkpoints: list[Path]) -> None:
    out = tmp_path / "out"
    words = command(write_list(tmp_path, checkpoints), out, "--ray", "--jobs", 2, "-q")
    run = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "results.jsonl").exists() and results(out) and exports_below(run.pid))
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=120) == 130
    done = {line["key"] for line in results(out)}
    assert 0 < len(done) < len(checkpoints)
    assert subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0
    expect_each_once(out, checkpoints)
    assert done <= {line["key"] for line in results(out)}
