"""Ctrl-C: the work ends soon, and leaves nothing half written."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from small import BERT, bert_weights, write_checkpoint

CONFIG = {
    **BERT,
    "vocab_size": 60_000,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 4,
    "max_position_embeddings": 512,
}


def test_ctrl_c(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", CONFIG, bert_weights(CONFIG))
    script = textwrap.dedent(f"""
        import onnxport
        try:
            while True:
                print("begin", flush=True)
                onnxport.main_export({str(folder)!r}, {str(tmp_path / "out")!r})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted" in out
    assert time.monotonic() - start < 10
    left = {path.name for path in (tmp_path / "out").iterdir()} if (tmp_path / "out").exists() else set()
    assert left <= {"config.json", "model.onnx"}
