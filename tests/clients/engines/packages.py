"""The packages of the engines, and the fixtures that they refuse."""
from common import use_packages

PACKAGES = {"onnxruntime": ("onnxruntime-py-1.17.3", "numpy-1.26.4"), "openvino": ("openvino-2026.4.1", "numpy-2.4.6")}
# OpenVINO 2026.4 takes values from outside of a Scan's body for further states, and refuses the file: mixtures of experts.
REFUSED = {
    "openvino": ("mixtral/text-generation-with-past", "qwen3_5_moe/image-text-to-text-with-past",
                 "qwen3_vl_moe/image-text-to-text-with-past"),
    "onnxruntime": (),
}


def use_engine(cache, engine):
    use_packages(cache, *PACKAGES[engine])
