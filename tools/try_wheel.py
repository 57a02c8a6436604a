"""What tools/wheel.sh does with an installed wheel, in an empty folder.

    try_wheel.py PROGRAM...     PROGRAM: the command that runs the console script
"""

import pathlib
import platform
import subprocess
import sys

import onnxport
import small

folder = small.write_checkpoint(pathlib.Path("model"), small.BERT, small.bert_weights(small.BERT))
assert onnxport.main_export(folder, "out").passed
notices = (pathlib.Path(onnxport.__file__).parent / "ThirdPartyNotices.txt").read_text(encoding="utf-8")
assert "Protocol Buffers" in notices and "nanobind" in notices
subprocess.run([*sys.argv[1:], "export", "onnx", "--model", str(folder), "out2", "--quiet"], check=True)
assert pathlib.Path("out/model.onnx").read_bytes() == pathlib.Path("out2/model.onnx").read_bytes()
print("[wheel] smoke test passed:", platform.machine(), sys.version.split()[0], pathlib.Path(onnxport.__file__).parent)
