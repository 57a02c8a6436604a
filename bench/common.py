"""What the benchmarks share: synthetic checkpoints, and commands with their time and memory."""
import collections
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

BERT = dict(model_type="bert", architectures=["BertModel"], vocab_size=30522, max_position_embeddings=512,
            type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
CONFIGS = {
    "bert-base": dict(BERT, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072),
    "bert-large": dict(BERT, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "qwen2-0.5b": dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"], vocab_size=151936, hidden_size=896,
                       intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
                       max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1000000.0, hidden_act="silu",
                       tie_word_embeddings=True, dtype="bfloat16"),
    "llama-1.1b": dict(model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=32000, hidden_size=2048,
                       intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
                       max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
                       tie_word_embeddings=False, dtype="bfloat16"),
}


class Failed(Exception):
    """A command of the benchmark did not succeed."""


Usage = collections.namedtuple("Usage", "seconds cpu_seconds peak_mb")


def checkpoint(name, work, layers=None):
    """Folder of the synthetic checkpoint, made unless it is there."""
    config = dict(CONFIGS[name])
    folder = work / name
    if layers:
        config["num_hidden_layers"] = layers
        folder = work / f"{name}-{layers}-layers"
    written = folder / "config.json"
    if written.exists() and json.loads(written.read_text()) == config:
        return folder
    partial = work / (folder.name + ".partial")
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "wanted.json").write_text(json.dumps(config))
    subprocess.run([sys.executable, HERE / "make_checkpoint.py", partial / "wanted.json", partial], check=True)
    (partial / "wanted.json").unlink()
    partial.rename(folder)
    return folder


def measured(command, log=None, environment=None):
    """Usage of a command that must succeed. With `log`, its standard error goes to that file."""
    # A process inherits the peak of the one that starts it. So a small shell does, and leaves it to us, its subreaper.
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0):
        raise Failed("prctl(PR_SET_CHILD_SUBREAPER) failed")
    errors = open(log, "wb") if log else None
    start = time.perf_counter()
    shell = subprocess.run(["/bin/sh", "-c", '"$@" >/dev/null & echo $!', "sh", *command], check=True,
                           stdout=subprocess.PIPE, stderr=errors, env=environment)
    pid = int(shell.stdout)
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.wait4(pid, 0)
        raise
    seconds = time.perf_counter() - start
    if errors:
        errors.close()
    if status:
        text = pathlib.Path(log).read_text(errors="replace").splitlines()[-10:] if log else []
        command = " ".join(map(str, command))
        raise Failed("\n".join([f"{command}\nended with {os.waitstatus_to_exitcode(status)}", *text]))
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
