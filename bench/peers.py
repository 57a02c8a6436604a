"""What other exporters take for the same checkpoints: time, processor time, peak memory, nodes, bytes.

Each runs once, from a warm cache, in a virtual environment of its own with the versions of <name>-requirements.txt."""
import json
import shutil

import common
import exporters

JOBS = {"bert-base": "feature-extraction", "llama-1.1b": "text-generation-with-past"}
LANGUAGE_MODELS = ["llama-1.1b"]


EXPORTERS = [  # name, command, checkpoints
    ("onnxport", exporters.ours_unchecked, list(JOBS)),
    ("onnxport, validated", exporters.ours, list(JOBS)),
    ("optimum-onnx 0.1.0, validated", exporters.optimum, list(JOBS)),
    ("mobius-onnx 0.1.0", exporters.mobius, list(JOBS)),
    ("onnxruntime-genai 0.18.0", exporters.genai, LANGUAGE_MODELS),
]


def nodes_of(program, folder):
    return sum(json.loads(common.output([program, "inspect", file, "--json"]))["nodes"]
               for file in sorted(folder.rglob("*.onnx")))


def run_one(args, name, command, checkpoint, work, task):
    out = work / "peer-out"
    shutil.rmtree(out, ignore_errors=True)
    for file in checkpoint.iterdir():  # into the cache
        common.measured(["cat", file])
    try:
        usage = exporters.call(command(args, checkpoint, out, task), work / "log")
        size = sum(file.stat().st_size for file in out.rglob("*.onnx*"))
        print(f"  {name:30} {usage.seconds:8.2f} s {usage.cpu_seconds:8.2f} s {usage.peak_mb:7.0f} MB "
              f"{nodes_of(args.program, out):6} {size / 1e6:7.0f} MB", flush=True)
        return True
    except common.Failed as error:
        print(f"  {name:30} failed: {str(error).splitlines()[-1]}", flush=True)
        return False
    finally:
        shutil.rmtree(out, ignore_errors=True)


def run(args, work):
    work.mkdir(parents=True, exist_ok=True)
    good = True
    for checkpoint_name, task in JOBS.items():
        print(f"\n{checkpoint_name} to fp32, {task}\n  {'exporter':30} {'time':>10} {'processor':>10} {'peak':>10} "
              f"{'nodes':>6} {'written':>10}", flush=True)
        checkpoint = common.checkpoint(checkpoint_name, work)
        try:
            for name, command, checkpoints in EXPORTERS:
                if checkpoint_name in checkpoints:
                    good = run_one(args, name, command, checkpoint, work, task) and good
        finally:
            if not args.keep:
                shutil.rmtree(checkpoint)
    return good
