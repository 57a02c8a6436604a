"""Exports of one checkpoint in several forms: ours for every opset or target, and those of the peers.

The table says what each export took, and which of ONNX Runtime's larger operators its files contain."""
import argparse
import collections
import json
import re
import shutil

import common
import exporters

HYBRIDS = "lfm2-1.2b", "granite-4-h-1b"  # Optimum has none, and genai's builder no recurrence
# `flags` ask for the form; where a peer fails with them, it is called without.
# `program`: another than that of the arguments, of ours.
Form = collections.namedtuple("Form", "label command flags peer program", defaults=[False, None])
LARGE = ("Attention", "Normalization", "Gelu", "Rotary")  # in names of operators that stand for several others


def grouped(name):
    """Whether several heads of queries share one of keys."""
    config = common.CONFIGS[name]
    return "num_key_value_heads" in config and config["num_key_value_heads"] < config["num_attention_heads"]


def forms(args, name, task):
    if args.quantize:
        decoder = task.startswith("text-generation")
        flags = ["--quantize", args.quantize] + ["--accuracy-level", "4"] * (decoder and args.quantize.startswith("q4"))
        ours = [("ours", []), (f"ours, {args.quantize}", flags)]
        peers = [Form("genai int4", exporters.genai_int4, [], True) if decoder else
                 Form("optimum quantized", exporters.optimum_quantized, [], True)]
    elif args.target:
        ours = [("ours", []), (f"ours, {args.target}", ["--target", args.target])]
        ours += [(f"ours, {args.target}, gqa", ["--target", args.target, "--attention", "gqa"])] * grouped(name)
        peers = [Form("optimum", exporters.optimum, ["--optimize", "O2"], True)]
        if task.startswith("text-generation"):
            peers.append(Form("genai", exporters.genai, [], True))
    else:
        ours = [(f"ours, {opset}", ["--opset", str(opset)]) for opset in args.opsets or []] or [("ours", [])]
        peers = [Form("torch", exporters.torch, [], True) if name in exporters.WITHOUT_OPTIMUM else
                 Form("peer", exporters.optimum, [], True)] if args.peer else []
    if name in HYBRIDS:
        peers = [peer for peer in peers if name == "lfm2-1.2b" and peer.label.startswith("genai")]
    ours = [Form(label, exporters.ours, flags) for label, flags in ours]
    return ours + [Form("base", exporters.ours, [], program=args.base)] * bool(args.base) + peers


class Export:
    """The files of one form, and the time and memory of their export. A component of a pipeline has a folder of its own."""

    def __init__(self, form, folder):
        self.form, self.label, self.folder = form, form.label, folder
        self.plain = self.validated = None  # Usage without and with validation
        self.note = ""

    def read(self, program):
        self.files = {file.relative_to(self.folder).with_suffix("").as_posix(): file
                      for file in sorted(self.folder.rglob("*.onnx"))}
        self.nodes, self.large = 0, collections.Counter()
        for file in self.files.values():
            report = json.loads(common.output([program, "inspect", file, "--json"]))
            self.nodes += report["nodes"]
            self.opset = report["opsets"]["ai.onnx"]
            self.large.update({op: count for op, count in report["op_types"].items()
                               if any(part in op for part in LARGE)})
        self.bytes = sum(file.stat().st_size for file in self.folder.rglob("*.onnx*"))
        return self

    def print(self):
        def columns(usage):
            if not usage:
                return f"{'–':>9} {'–':>9} {'–':>9}"
            return f"{usage.seconds:7.2f} s {usage.cpu_seconds:7.2f} s {usage.peak_mb:6.0f} MB"

        large = ", ".join(f"{count} {op}" for op, count in self.large.most_common())
        print(f"  {self.label:16} {self.opset:5} {self.nodes:6} {self.bytes / 1e6:6.0f} MB  {columns(self.plain)}   "
              f"{columns(self.validated)}   {large}".rstrip(), flush=True)
        if self.note:
            print(f"    {self.note}", flush=True)


def make_ours(args, made, checkpoint, task, flags):
    args = argparse.Namespace(**{**vars(args), "program": made.form.program or args.program})
    if lacking := exporters.unknown_flags(args.program, flags):
        raise common.Failed(f"this program has no {', '.join(lacking)}")
    log = made.folder.with_suffix(".log")
    shutil.rmtree(made.folder, ignore_errors=True)
    made.plain = exporters.call(exporters.ours_unchecked(args, checkpoint, made.folder, task, *flags), log)
    if not args.no_validate:
        shutil.rmtree(made.folder)
        made.validated = exporters.call(exporters.ours(args, checkpoint, made.folder, task, *flags), log)


def call_peer(made, command, plain):
    """Takes the files of the plain command where the first one fails, and says so."""
    log = made.folder.with_suffix(".log")
    shutil.rmtree(made.folder, ignore_errors=True)
    try:
        made.validated = exporters.call(command, log)
        made.label = " ".join([made.form.label, *made.form.flags[1:]])
    except common.Failed as error:
        if command == plain:
            raise
        made.note = f"without {' '.join(made.form.flags)}: {str(error).splitlines()[-1][:150]}"
        shutil.rmtree(made.folder, ignore_errors=True)
        made.validated = exporters.call(plain, log)


def make_peer(args, made, checkpoint, task):
    """Calls a peer, unless the folder has the files that the same command made."""
    command, plain = ([str(part) for part in made.form.command(args, checkpoint, made.folder, task, *flags)]
                      for flags in (made.form.flags, []))
    stamp = made.folder.with_suffix(".json")
    if stamp.exists() and (kept := json.loads(stamp.read_text()))["command"] == command:
        made.label, made.note, made.validated = kept["label"], kept["note"], common.Usage(*kept["usage"])
        return
    stamp.unlink(missing_ok=True)
    call_peer(made, command, plain)
    stamp.write_text(json.dumps(dict(command=command, label=made.label, note=made.note, usage=made.validated)))


def export(args, name, task, checkpoint, work, shared):
    """The Exports that succeeded, and whether all did. `shared`: several files have the same weights."""
    print(f"  {'export':16} {'opset':>5} {'nodes':>6} {'written':>9}  {'time':>9} {'processor':>9} {'peak':>9}   "
          f"{'validated':>9} {'processor':>9} {'peak':>9}   larger operators")
    work.mkdir(parents=True, exist_ok=True)
    exports, good = [], True
    for form in forms(args, name, task):
        made = Export(form, work / re.sub(r"\W+", "-", form.label))
        try:
            if form.peer:
                make_peer(args, made, checkpoint, task)
            else:
                make_ours(args, made, checkpoint, task, form.flags + ["--external-data", "shared"] * shared)
            exports.append(made.read(args.program))
            made.print()
        except common.Failed as error:
            print(f"  {form.label:16} failed: {str(error).splitlines()[-1]}", flush=True)
            good = False
    return exports, good
