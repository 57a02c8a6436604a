"""Exported files in ONNX Runtime, ours against those of the peers: time of a run, and what each export takes.

All files of a checkpoint are loaded in one process and take turns, in an order that changes from round to round.
`ratio` is the median over the rounds of ours divided by the other; `quartiles` are those of the same."""
import collections
import itertools
import json
import shutil
import statistics
import subprocess
import sys

import common
import environments
import exported


def text(batch, tokens, past=0):
    return {"batch_size": batch, "sequence_length": tokens, "past_sequence_length": past,
            "total_sequence_length": past + tokens}


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
DECODE_AND_PREFILL = [("decode: 1 token after 512", "model", text(1, 1, 512)),
                      ("prefill: 128 tokens", "model", text(1, 128))]
HYBRID = (GENERATION, [("decode: 1 token after 512", "model", text(1, 1, 512)),
                       ("prefill: 512 tokens", "model", text(1, 512))])
SPEECH = ("automatic-speech-recognition-with-past",
          [("encode 30 s", ENCODER, seq2seq(1500)), ("decode: 1 token after 32", DECODER, seq2seq(1500, 32))])
JOBS = {  # checkpoint: task, and (name, file, extents of axes) of the runs
    "bert-base": (FEATURES, [("batch 1, 128 tokens", "model", text(1, 128)),
                             ("batch 8, 128 tokens", "model", text(8, 128))]),
    "qwen2-0.5b": (GENERATION, DECODE_AND_PREFILL),
    "llama-1.1b": (GENERATION, DECODE_AND_PREFILL),
    "lfm2-1.2b": HYBRID,
    "granite-4-h-1b": HYBRID,
    "qwen3-moe-layer": (GENERATION, [("decode: 1 token after 16", "model", text(1, 1, 16)),
                                     ("prefill: 128 tokens", "model", text(1, 128))]),
    "t5-base": ("text2text-generation-with-past",
                [("encode 128 tokens", ENCODER, seq2seq(128)), ("decode: 1 token after 32", DECODER, seq2seq(128, 32))]),
    "whisper-tiny": SPEECH,
    "whisper-base": SPEECH,
    # Its decoder has two lengths of one name: the samples of the mask, and the frames.
    "moonshine-base": ("automatic-speech-recognition-with-past",
                       [("encode 10 s", ENCODER, seq2seq(160000)),
                        ("decode: 1 token after 32", DECODER,
                         {**seq2seq(415, 32), "encoder_attention_mask": {"encoder_sequence_length": 160000}})]),
    "wav2vec2-base": (FEATURES, [(f"{n} s of audio", "model", text(1, 16000 * n)) for n in (1, 10)]),
    "wavlm-base": (FEATURES, [("10 s of audio", "model", text(1, 160000))]),
    "vits-mms": ("text-to-audio", [("64 tokens", "model", {"text_batch_size": 1, "sequence_length": 64})]),
    "vit-base": ("image-classification", batches(224, 224)),
    "resnet-50": ("image-classification", batches(224, 224)),
    "convnext-tiny": ("image-classification", batches(224, 224)),
    "clip-vit-b32": ("zero-shot-image-classification", batches(224, 224, text_batch_size=2, sequence_length=16)),
    "segformer-b0": ("semantic-segmentation", batches(512, 512)),
    "efficientnet-b0": ("image-classification", batches(224, 224)),
    "mobilevit-small": ("image-classification", batches(256, 256)),
    "swinv2-tiny": ("image-classification", batches(256, 256)),
    "dinov3-vit-s": (FEATURES, batches(224, 224)),
    "hiera-tiny": ("image-classification", batches(224, 224)),
    "depth-anything-small": ("depth-estimation", batches(518, 518)),
    "rt-detr-r18": ("object-detection", batches(640, 640)),
    "detr-resnet-50": ("object-detection", batches(480, 640)),
}
QUANTIZED = ["bert-base", "whisper-base", "qwen2-0.5b", "llama-1.1b"]  # with --quantize
TARGETED = ["bert-base", "vit-base", "whisper-base", "t5-base", "qwen2-0.5b", "llama-1.1b"]  # with --target
# Axes that one of the exporters leaves open.
FIXED = {"num_channels": 3, "feature_size": 80, "nb_max_frames": 3000, "kv_cache_dim": 64}
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


def selected(args, name):
    """The runs of a checkpoint that --row names."""
    return [run for run in JOBS[name][1] if args.row in run[0]]


Ratio = collections.namedtuple("Ratio", "low median high")


def ratio(seconds, others):
    ratios = [a / b for a, b in zip(seconds, others)]
    return Ratio(*statistics.quantiles(ratios * 2 if len(ratios) < 2 else ratios, method="inclusive"))


def groups(args, exports, others):
    """All files at once where they fit into memory; else pairs of one of ours and another."""
    sizes = [made.bytes for made in exports]
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    room = args.memory * 1e9 if args.memory else 0.9 * available
    if len(exports) < 3 or sum(sizes) + max(sizes) < room:  # one is held twice while it is loaded
        return [exports]
    return [[made, other] for made in exports if made not in others for other in others]


def timed(python, plan):
    """Yields what time_files.py says about each job of a plan."""
    process = subprocess.Popen([python, common.HERE / "time_files.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    with process:
        try:
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise common.Failed(f"time_files.py ended with {process.returncode}")


def print_run(result, group, others, quantized):
    """A line for each of ours and each file that it is compared with; the Ratios by their labels."""
    ratios = {}
    seconds, title = result["seconds"], f"{result['name']:26} {result['threads']:7}"
    ours = [made for made in group if made not in others]
    for made, other in itertools.product(ours, [made for made in others if made in group] or [None]):
        row = f"  {title} {made.label:16} {made.opset:5} {statistics.median(seconds[made.label]) * 1e3:8.1f} ms"
        if other:
            compared = ratios[made.label, other.label] = ratio(seconds[made.label], seconds[other.label])
            row += (f"  {other.label:16} {statistics.median(seconds[other.label]) * 1e3:8.1f} ms {compared.median:7.3f}   "
                    f"{compared.low:.3f}–{compared.high:.3f}   {result['difference'][made.label]:.1e}")
        print(row, flush=True)
    for label, difference in result["difference"].items():
        if not quantized and not difference < TOLERANCE:
            raise common.Failed(f"{label}: the outputs differ by {difference:.1e}, more than {TOLERANCE}")
    return ratios


def time_files(args, name, exports, python):
    """Prints the table of runs. The Ratios of every run, by the labels of ours and of the other."""
    others = [made for made in exports if made.form.peer] or exports[1:][-1:]
    print(f"  {'run':26} {'threads':7} {'ours':16} {'opset':>5} {'time':>11}" +
          (f"  {'against':16} {'time':>11} {'ratio':>7}   {'quartiles':13} difference" if others else ""), flush=True)
    runs = collections.defaultdict(dict)
    for group in groups(args, exports, others):
        jobs = [dict(name=job, files={made.label: str(made.files[file]) for made in group}, threads=threads,
                     extents={**FIXED, **extents})
                for threads in args.threads for job, file, extents in selected(args, name)]
        plan = dict(labels=[made.label for made in group], rounds=args.rounds, jobs=jobs,
                    processor_time=args.processor_time)
        for result in timed(python, plan):
            runs[result["name"], result["threads"]].update(print_run(result, group, others, args.quantize))
    return runs


def print_best(runs, exports):
    """For every run the best form of the target, or of ours where there is none, against the best peer."""
    ours = [made for made in exports if not made.form.peer]
    if not ours:
        raise common.Failed("nothing to compare: there must be a file of ours")
    if len(ours) == len(exports):
        return 0  # no peer has this type
    labels = [made.label for made in ours if made.form.flags] or [made.label for made in ours]
    best = []
    for (name, threads), ratios in runs.items():
        against = {label: max((ratios[pair].median, pair) for pair in ratios if pair[0] == label) for label in labels}
        _, pair = min(against.values())
        low, median, high = ratios[pair]
        print(f"  best: {name}, {threads} threads: {' / '.join(pair)} {median:.3f}   {low:.3f}–{high:.3f}", flush=True)
        best.append(median)
    return max(best)


def run_model(args, name, work, python):
    print(f"\n{name}" + (f", {args.layers} layers" if args.layers else ""), flush=True)
    task, runs = JOBS[name]
    shared = ENCODER in [file for _, file, _ in runs]
    folders = []
    try:
        checkpoint = common.checkpoint(name, work, args.layers, python if args.peer else None)
        files = work / "files" / checkpoint.name
        folders = [checkpoint, files]
        exports, good = exported.export(args, name, task, checkpoint, files, shared)
        if not exports:
            return False
        ratios = time_files(args, name, exports, python)
        worst = print_best(ratios, exports) if args.target or args.quantize else \
            max((compared.median for run in ratios.values() for compared in run.values()), default=0)
        if args.max_ratio and worst > args.max_ratio:
            print(f"  ratio {worst:.3f} is beyond {args.max_ratio}", flush=True)
            good = False
        return good
    except common.Failed as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return False
    finally:
        for folder in [] if args.keep else folders:
            shutil.rmtree(folder, ignore_errors=True)


def run(args, work):
    python = args.peer_python or environments.environment("peer" if args.peer else "runtime")
    print(f"{versions(python)}; threads: {', '.join(map(str, args.threads))}, rounds: {args.rounds}")
    names = [name for name in args.models or (QUANTIZED if args.quantize else TARGETED if args.target else JOBS) if selected(args, name)]
    if not names:
        raise common.Failed(f"no run of these models has '{args.row}' in its name")
    return all([run_model(args, name, work, python) for name in names])
