"""The packages of the engines."""
from common import use_packages

PACKAGES = {"onnxruntime": ("onnxruntime-py-1.17.3", "numpy-1.26.4"), "openvino": ("openvino-2026.4.1", "numpy-2.4.6")}


def use_engine(cache, engine):
    use_packages(cache, *PACKAGES[engine])
