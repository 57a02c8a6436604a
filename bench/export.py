"""Time and peak memory of exporting, against copies of the bytes written.

Baselines and exports run interleaved, from a warm cache, the target removed and `sync` before each run. Medians."""
import collections
import os
import shutil
import statistics

import common
import fixtures
import peers

# `copy`: dd, a plain copy in pieces of 1 MiB, or cp, of the largest file written; "cp read": of the checkpoint's weights;
# "cp all": of all that is written. `limit`: what the export may take, as a multiple of the copy's time
# or in seconds. `gigabytes`: of the checkpoint and of what is written.
Row = collections.namedtuple("Row", "checkpoint task flags copy ratio seconds peak_mb gigabytes")
TASK = "text-generation-with-past"
ROWS = [
    Row("bert-base", "feature-extraction", [], "cp", None, 0.4, None, (0.5, 0.5)),
    Row("bert-large", "feature-extraction", [], "cp", None, None, None, (1.4, 1.4)),
    Row("llama-1.1b", TASK, ["--dtype", "fp32"], "dd", 1.5, None, 200, (2.3, 4.5)),
    Row("llama-1.1b", TASK, ["--dtype", "bf16"], "cp", 1.2, None, None, (2.3, 2.3)),
    Row("llama-1.1b", TASK, ["--dtype", "fp16"], "dd", 2.0, None, None, (2.3, 2.3)),
    Row("llama-1.1b", TASK, ["--quantize", "q4"], "cp read", 2.0, None, 200, (2.3, 2.3)),
    Row("qwen2-0.5b", TASK, ["--variants", "fp32,fp16,q8,q4,q4f16"], "cp all", 1.5, None, 200, (1.0, 4.7)),
    Row("llama-1.1b", TASK, ["--external-data", "checkpoint"], None, None, 0.06, None, (2.3, 0)),
    Row("llama-7b", TASK, ["--dtype", "bf16"], "cp", 1.2, None, None, (13.6, 13.6)),
    Row("llama-7b", TASK, ["--quantize", "q4"], "cp read", None, None, 250, (13.6, 4.2)),
    Row("llama-7b", TASK, ["--external-data", "checkpoint"], None, None, None, None, (13.6, 0)),
    Row("qwen3-moe-30b", TASK, ["--external-data", "checkpoint"], None, None, 1.0, 100, (0, 0)),
    Row("sdxl-unet", "semantic-segmentation", ["--dtype", "bf16"], "cp", 1.5, None, 200, (5.1, 5.1)),
]


def written_by_export(folder):
    return [path for path in folder.iterdir() if path.name.startswith("model") and ".onnx" in path.name]


def copied(row, checkpoint, target):
    """The files that the baseline copies."""
    if row.copy == "cp read":
        return sorted(checkpoint.glob("*.safetensors"))
    written = written_by_export(target)
    return written if row.copy == "cp all" else [max(written, key=lambda path: path.stat().st_size)]


def remove(paths):
    for path in paths:
        path.unlink(missing_ok=True)


def measure(args, row, checkpoint, out, copy):
    """Seconds of the copies and of the exports, peak memory of the exports, bytes written."""
    in_place = row.copy is None
    target = checkpoint if in_place else out
    export = [args.program, "export", "onnx", "--model", checkpoint, target, "--task", row.task, "-q",
              "--no-validate", *row.flags]
    copies, exports, peaks = [], [], []
    for turn in range(args.runs + 1):  # the first one warms the cache
        if in_place:
            remove(written_by_export(checkpoint))
        else:
            shutil.rmtree(out, ignore_errors=True)
        os.sync()
        usage = common.measured(export)
        if turn:
            exports.append(usage.seconds)
            peaks.append(usage.peak_mb)
        if in_place:
            continue
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        os.sync()
        files = copied(row, checkpoint, target)
        command = ["dd", f"if={files[0]}", f"of={copy / 'file'}", "bs=1M", "status=none"] if row.copy == "dd" else \
            ["cp", *files, copy]
        baseline = common.measured(command)
        if turn:
            copies.append(baseline.seconds)
    return copies, exports, max(peaks), sum(path.stat().st_size for path in written_by_export(target))


def run_row(args, row, checkpoint, work):
    out, copy = work / "out", work / "copy"
    try:
        copies, exports, peak, size = measure(args, row, checkpoint, out, copy)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
        remove(written_by_export(checkpoint))
    ours = statistics.median(exports)
    baseline = statistics.median(copies) if copies else None
    good = not (row.ratio and ours > row.ratio * baseline or row.seconds and ours > row.seconds or
                row.peak_mb and peak > row.peak_mb)
    limits = [f"{row.ratio} x {row.copy}" if row.ratio else "", f"{row.seconds} s" if row.seconds else "",
              f"{row.peak_mb} MB" if row.peak_mb else ""]
    compared = f"{row.copy} {baseline:7.3f} s {ours / baseline:6.2f}" if baseline else f"{'':19}"
    print(f"{row.checkpoint:13} {' '.join(row.flags):32} {size / 1e6:7.1f} MB {ours:7.3f} s {compared} {peak:6.0f} MB   "
          f"{', '.join(filter(None, limits))}{'' if good else '  MISSED'}", flush=True)
    return good


def run_fixtures(args, work, model_type="bert", limit=0.03):
    out = work / "out"
    try:
        seconds = []
        for checkpoint, task in fixtures.checkpoints(model_type, work):
            command = [args.program, "export", "onnx", "--model", checkpoint, out, "--task", task, "-q", "--no-validate"]
            times = []
            for turn in range(args.runs + 1):
                shutil.rmtree(out, ignore_errors=True)
                times.append(common.measured(command, log=work / "log").seconds)
            seconds.append(statistics.median(times[1:]))
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(work / "fixtures", ignore_errors=True)
    median = statistics.median(seconds)
    print(f"{len(seconds)} fixtures of {model_type}, one process each: median {median * 1e3:.0f} ms, slowest "
          f"{max(seconds) * 1e3:.0f} ms   {limit * 1e3:.0f} ms{'' if median <= limit else '  MISSED'}", flush=True)
    return median <= limit


def run(args, work):
    work.mkdir(parents=True, exist_ok=True)
    print(f"{'checkpoint':13} {'flags':32} {'written':>10} {'export':>9} {'copy':>12} {'ratio':>6} {'peak':>9}   limits")
    good = True
    for number, row in enumerate(ROWS):
        stored, written = row.gigabytes
        room = shutil.disk_usage(work).free / 1e9
        if args.disk:
            room = min(room, args.disk)
        needed = stored + 2 * written  # the export, and the copy of it
        if needed > room:
            print(f"{row.checkpoint:13} {' '.join(row.flags):32} left out: it needs {needed:.0f} GB of disk, there are "
                  f"{room:.0f}", flush=True)
            continue
        checkpoint = common.checkpoint(row.checkpoint, work)
        try:
            good = run_row(args, row, checkpoint, work) and good
        finally:
            if not args.keep and row.checkpoint not in [other.checkpoint for other in ROWS[number + 1:]]:
                shutil.rmtree(checkpoint)
    good = run_fixtures(args, work) and good
    return (peers.run(args, work) if args.peer else True) and good
