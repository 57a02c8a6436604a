"""Exported files in ONNX Runtime, ours against the peer's: time of a run, and what each export takes.

All files of a checkpoint are loaded in one process and take turns, in an order that changes from round to round.
`ratio` is the median over the rounds of ours divided by the peer's; `quartiles` are those of the same."""
import json
import os
import shutil
import statistics
import subprocess
import sys

import common
import environments



def text(batch, tokens, past=0):
    return {"batch_size": batch, "sequence_length": tokens, "past_sequence_length": past}


def seq2seq(source, past=0):
    """Extents of an encoder, and of a decoder that makes one token."""
    return {"batch_size": 1, "encoder_sequence_length": source, "decoder_sequence_length": 1,
            "past_decoder_sequence_length": past}


def images(batch, height, width, **others):
    return {"batch_size": batch, "image_batch_size": batch, "height": height, "width": width, **others}


def batches(height, width, **others):
    """Runs with 1 and 8 images."""
    return [(f"batch {n}, {height} x {width}", "model", images(n, height, width, **others)) for n in (1, 8)]


FEATURES, GENERATION = "feature-extraction", "text-generation-with-past"
ENCODER, DECODER = "encoder_model", "decoder_with_past_model"
JOBS = {  # checkpoint: task, and (name, file, extents of axes) of the runs
    "bert-base": (FEATURES, [("batch 1, 128 tokens", "model", text(1, 128)),
                             ("batch 8, 128 tokens", "model", text(8, 128))]),
    "qwen2-0.5b": (GENERATION, [("decode: 1 token after 512", "model", text(1, 1, 512))]),
    "llama-1.1b": (GENERATION, [("decode: 1 token after 512", "model", text(1, 1, 512)),
                                ("prefill: 128 tokens", "model", text(1, 128))]),
    "t5-base": ("text2text-generation-with-past",
                [("encode 128 tokens", ENCODER, seq2seq(128)), ("decode: 1 token after 32", DECODER, seq2seq(128, 32))]),
    "whisper-tiny": ("automatic-speech-recognition-with-past",
                     [("encode 30 s", ENCODER, seq2seq(1500)), ("decode: 1 token after 32", DECODER, seq2seq(1500, 32))]),
    "wav2vec2-base": (FEATURES, [("1 s of audio", "model", text(1, 16000))]),
    "vit-base": ("image-classification", batches(224, 224)),
    "resnet-50": ("image-classification", batches(224, 224)),
    "convnext-tiny": ("image-classification", batches(224, 224)),
    "clip-vit-b32": ("zero-shot-image-classification", batches(224, 224, text_batch_size=2, sequence_length=16)),
    "segformer-b0": ("semantic-segmentation", batches(512, 512)),
    "detr-resnet-50": ("object-detection", batches(480, 640)),
}
FIXED = {"num_channels": 3, "feature_size": 80, "nb_max_frames": 3000}  # axes that one of the exporters leaves open
TOLERANCE = 1e-3  # beyond it the files do not compute the same, and their times say nothing
PACKAGES = "optimum-onnx", "transformers", "torch", "onnxruntime"


def versions(python):
    """Those of PACKAGES that the interpreter has."""
    script = ("import importlib.metadata as m, sys\n"
              "for name in sys.argv[1:]:\n"
              "  try: print(name, m.version(name))\n"
              "  except m.PackageNotFoundError: pass\n")
    result = subprocess.run([python, "-c", script, *PACKAGES], check=True, stdout=subprocess.PIPE, text=True)
    return ", ".join(result.stdout.splitlines())


class Export:
    """One exported file, and what it took to make it."""

    def __init__(self, program, label, folder):
        self.label, self.folder = label, folder
        self.plain = self.validated = None  # Usage without and with validation
        self.program = program

    def read(self):
        self.files = {file.stem: file for file in sorted(self.folder.glob("*.onnx"))}
        self.nodes = 0
        for file in self.files.values():
            report = json.loads(common.output([self.program, "inspect", file, "--json"]))
            self.nodes += report["nodes"]
            self.opset = report["opsets"]["ai.onnx"]
        self.bytes = sum(file.stat().st_size for file in self.folder.glob("*.onnx*"))
        return self

    def print(self):
        def columns(usage):
            if not usage:
                return f"{'–':>9} {'–':>9} {'–':>9}"
            return f"{usage.seconds:7.2f} s {usage.cpu_seconds:7.2f} s {usage.peak_mb:6.0f} MB"

        print(f"  {self.label:12} {self.opset:5} {self.nodes:6} {self.bytes / 1e6:6.0f} MB  {columns(self.plain)}   "
              f"{columns(self.validated)}", flush=True)


def export(args, name, checkpoint, work, python):
    """The Exports of a checkpoint: ours for every opset; the peer's is the last one."""
    print(f"  {'export':12} {'opset':>5} {'nodes':>6} {'written':>9}  {'time':>9} {'processor':>9} {'peak':>9}   "
          f"{'validated':>9} {'processor':>9} {'peak':>9}")
    task = JOBS[name][0]
    log = work / "log"
    exports = []
    for opset in args.opsets or [None]:
        label = f"ours, {opset}" if opset else "ours"
        made = Export(args.program, label, work / f"ours-{opset or 'default'}")
        command = [args.program, "export", "onnx", "--model", checkpoint, made.folder, "--task", task]
        command += ["--opset", str(opset)] if opset else []
        if ENCODER in [file for _, file, _ in JOBS[name][1]]:
            command += ["--external-data", "shared"]  # several files of the same weights
        os.sync()
        made.plain = common.measured(command + ["--no-validate"], log)
        if not args.no_validate:
            shutil.rmtree(made.folder)
            os.sync()
            made.validated = common.measured(command, log)
        exports.append(made.read())
        made.print()
    if args.peer:
        made = Export(args.program, "peer", work / "peer")
        os.sync()
        # It always validates.
        made.validated = common.measured(
            [python, "-m", "optimum.commands.optimum_cli", "export", "onnx", "--model", checkpoint, "--task", task,
             made.folder], log, {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"})
        exports.append(made.read())
        made.print()
    return exports


def groups(exports):
    """All files at once where they fit into memory; else pairs of ours and the last one."""
    sizes = [made.bytes for made in exports]
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    if len(exports) < 3 or sum(sizes) + max(sizes) < 0.9 * available:  # one is held twice while it is loaded
        return [exports]
    return [[made, exports[-1]] for made in exports[:-1]]


def time_files(args, name, exports, python):
    """Prints the table of runs; the largest ratio."""
    last = exports[-1]
    alone = len(exports) == 1
    print(f"  {'run':26} {'opset':>5} {'ours':>11}" +
          ("" if alone else f" {last.label:>11} {'ratio':>7}   {'quartiles':13} difference"), flush=True)
    worst = 0.0
    for group in groups(exports):
        jobs = [dict(name=job, files={made.label: str(made.files[file]) for made in group}, extents={**FIXED, **extents})
                for job, file, extents in JOBS[name][1]]
        plan = dict(labels=[made.label for made in group], threads=args.threads, rounds=args.rounds, jobs=jobs)
        process = subprocess.Popen([python, common.HERE / "time_files.py"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        with process:
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            for line in process.stdout:
                result = json.loads(line)
                seconds = result["seconds"]
                base = statistics.median(seconds[last.label])
                for made in group if alone else group[:-1]:
                    ours = statistics.median(seconds[made.label])
                    row = f"  {result['name']:26} {made.opset:5} {ours * 1e3:8.1f} ms"
                    if not alone:
                        ratios = [a / b for a, b in zip(seconds[made.label], seconds[last.label])]
                        ratio = statistics.median(ratios)
                        low, _, high = statistics.quantiles(ratios * 2 if len(ratios) < 2 else ratios, method="inclusive")
                        differs = result["difference"][made.label]
                        row += f" {base * 1e3:8.1f} ms {ratio:7.3f}   {low:.3f}–{high:.3f}   {differs:.1e}"
                        worst = max(worst, ratio)
                        if not differs < TOLERANCE:
                            print(row, flush=True)
                            process.kill()
                            raise common.Failed(f"{name}: the outputs differ by more than {TOLERANCE}")
                    print(row, flush=True)
        if process.returncode:
            raise common.Failed(f"time_files.py ended with {process.returncode}")
    return worst


def run(args, work):
    python = args.peer_python or environments.environment("peer" if args.peer else "runtime")
    print(f"{versions(python)}; threads: {args.threads}, rounds: {args.rounds}")
    good = True
    for name in args.models or JOBS:
        print(f"\n{name}" + (f", {args.layers} layers" if args.layers else ""), flush=True)
        files = work / "files"
        checkpoint = None
        try:
            checkpoint = common.checkpoint(name, work, args.layers, python if args.peer else None)
            shutil.rmtree(files, ignore_errors=True)
            files.mkdir()
            exports = export(args, name, checkpoint, files, python)
            worst = time_files(args, name, exports, python)
            if args.max_ratio and worst > args.max_ratio:
                print(f"  ratio {worst:.3f} is beyond {args.max_ratio}", flush=True)
                good = False
        except common.Failed as error:
            print(f"bench: {error}", file=sys.stderr, flush=True)
            good = False
        finally:
            shutil.rmtree(files, ignore_errors=True)
            if checkpoint and not args.keep:
                shutil.rmtree(checkpoint, ignore_errors=True)
    return good
