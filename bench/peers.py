"""What other exporters take for the same checkpoints: time, processor time, peak memory, nodes, bytes.

Each runs once, from a warm cache, in a virtual environment of its own with the versions of <name>-requirements.txt."""
import json
import os
import shutil

import common
import environments

JOBS = {"bert-base": "feature-extraction", "llama-1.1b": "text-generation-with-past"}
LANGUAGE_MODELS = ["llama-1.1b"]


def ours(args, checkpoint, out, task):
    return [args.program, "export", "onnx", "--model", checkpoint, out, "--task", task, "-q"]


def ours_unchecked(args, checkpoint, out, task):
    return [*ours(args, checkpoint, out, task), "--no-validate"]


def optimum(args, checkpoint, out, task):  # it always validates
    python = args.peer_python or environments.environment("peer")
    return [python, "-m", "optimum.commands.optimum_cli", "export", "onnx", "--model", checkpoint, "--task", task, out]


def mobius(args, checkpoint, out, task):
    python = environments.environment("mobius")
    return [python.parent / "mobius", "build", "--config", checkpoint, "--dtype", "f32", out]


def genai(args, checkpoint, out, task):
    python = environments.environment("genai")
    return [python, "-m", "onnxruntime_genai.models.builder", "-m", "local", "-i", checkpoint, "-o", out, "-p", "fp32",
            "-e", "cpu", "-c", out / "cache"]


EXPORTERS = [  # name, command, checkpoints
    ("onnxport", ours_unchecked, list(JOBS)),
    ("onnxport, validated", ours, list(JOBS)),
    ("optimum-onnx 0.1.0, validated", optimum, list(JOBS)),
    ("mobius-onnx 0.1.0", mobius, list(JOBS)),
    ("onnxruntime-genai 0.18.0", genai, LANGUAGE_MODELS),
]


def add_tokenizer(checkpoint):
    """A tokenizer of one word: without one, the builder of onnxruntime-genai stops."""
    (checkpoint / "tokenizer.json").write_text(json.dumps(dict(
        version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, post_processor=None,
        decoder=None, pre_tokenizer=dict(type="Whitespace"),
        model=dict(type="WordLevel", vocab={"<unk>": 0}, unk_token="<unk>"))))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>")))


def nodes_of(program, folder):
    return sum(json.loads(common.output([program, "inspect", file, "--json"]))["nodes"]
               for file in sorted(folder.rglob("*.onnx")))


def run_one(args, name, command, checkpoint, work, task):
    out = work / "peer-out"
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    for file in checkpoint.iterdir():  # into the cache
        common.measured(["cat", file])
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
    try:
        usage = common.measured(command(args, checkpoint, out, task), work / "log", quiet)
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
        add_tokenizer(checkpoint)
        try:
            for name, command, checkpoints in EXPORTERS:
                if checkpoint_name in checkpoints:
                    good = run_one(args, name, command, checkpoint, work, task) and good
        finally:
            if not args.keep:
                shutil.rmtree(checkpoint)
    return good
