"""Time and peak memory of exporting, against `cp` of the bytes written.

Baseline and export run interleaved, from a warm cache, the target removed and `sync` before each run. Medians."""
import os
import shutil
import statistics

import common


def run(args, work):
    print(f"{'checkpoint':12} {'written':>9} {'cp':>8} {'export':>8} {'ratio':>6} {'peak':>9}   with validation")
    out, copy = work / "out", work / "copy"
    for name in ("bert-base", "bert-large"):
        checkpoint = common.checkpoint(name, work)
        export = [args.program, "export", "onnx", "--model", checkpoint, out, "--task", "feature-extraction", "-q"]
        copies, exports, peaks = [], [], []
        try:
            for turn in range(args.runs + 1):  # the first one warms the cache
                shutil.rmtree(out, ignore_errors=True)
                os.sync()
                usage = common.measured(export + ["--no-validate"])
                copy.unlink(missing_ok=True)
                os.sync()
                baseline = common.measured(["cp", out / "model.onnx", copy])
                if turn:
                    exports.append(usage.seconds)
                    peaks.append(usage.peak_mb)
                    copies.append(baseline.seconds)
            size = (out / "model.onnx").stat().st_size
            validated = common.measured(export)
        finally:
            shutil.rmtree(out, ignore_errors=True)
            copy.unlink(missing_ok=True)
            if not args.keep:
                shutil.rmtree(checkpoint)
        cp, ours = statistics.median(copies), statistics.median(exports)
        print(f"{name:12} {size / 1e6:6.0f} MB {cp:6.3f} s {ours:6.3f} s {ours / cp:6.2f} {max(peaks):6.0f} MB   "
              f"{validated.seconds:.1f} s, {validated.peak_mb:.0f} MB", flush=True)
    return True
