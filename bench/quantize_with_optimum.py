"""Exports a checkpoint with Optimum and quantizes its files as `optimum-cli onnxruntime quantize --avx512_vnni` does. The
quantized files get the names of the float ones, which are removed.

  quantize_with_optimum.py CHECKPOINT OUT TASK"""
import pathlib
import sys

from optimum.exporters.onnx import main_export
from optimum.onnxruntime import AutoQuantizationConfig, ORTQuantizer


def main():
    checkpoint, out, task = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    floats = out / "floats"
    main_export(checkpoint, floats, task=task, do_validation=False)
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    for file in sorted(floats.glob("*.onnx")):
        ORTQuantizer.from_pretrained(floats, file_name=file.name).quantize(save_dir=out, quantization_config=config)
        (out / f"{file.stem}_quantized.onnx").rename(out / file.name)
    for file in floats.iterdir():
        file.unlink()
    floats.rmdir()


main()
