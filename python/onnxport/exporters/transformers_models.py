"""Loading models of transformers, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["load_model", "transformers_available"]

_AUTO_CLASSES = {
    "audio-classification": "AutoModelForAudioClassification",
    "audio-frame-classification": "AutoModelForAudioFrameClassification",
    "audio-xvector": "AutoModelForAudioXVector",
    "depth-estimation": "AutoModelForDepthEstimation",
    "feature-extraction": "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "image-classification": "AutoModelForImageClassification",
    "image-segmentation": "AutoModelForImageSegmentation",
    "image-text-to-text": "AutoModelForImageTextToText",
    "image-to-image": "AutoModelForImageToImage",
    "image-to-text": "AutoModelForVision2Seq",
    "keypoint-detection": "AutoModelForKeypointDetection",
    "mask-generation": "AutoModel",
    "masked-im": "AutoModelForMaskedImageModeling",
    "multiple-choice": "AutoModelForMultipleChoice",
    "object-detection": "AutoModelForObjectDetection",
    "question-answering": "AutoModelForQuestionAnswering",
    "semantic-segmentation": "AutoModelForSemanticSegmentation",
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "text-to-audio": "AutoModelForTextToWaveform",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "token-classification": "AutoModelForTokenClassification",
    "visual-question-answering": "AutoModelForVisualQuestionAnswering",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "zero-shot-object-detection": "AutoModelForZeroShotObjectDetection",
}


def transformers_available() -> bool:
    """Whether transformers and PyTorch are installed."""
    return find_spec("transformers") is not None and find_spec("torch") is not None


def _auto_class(task: str, folder: Path) -> Any:
    import transformers

    task = task.removesuffix("-with-past")
    if task == "automatic-speech-recognition":
        architecture = (transformers.AutoConfig.from_pretrained(folder).architectures or [""])[0]
        name = "AutoModelForCTC" if architecture.endswith("CTC") else "AutoModelForSpeechSeq2Seq"
    else:
        name = _AUTO_CLASSES.get(task, "AutoModel")
    return getattr(transformers, name)


def load_model(
    task: str, folder: Path, dtype: Any = None, device: Any = None, options: dict[str, Any] | None = None
) -> Any:
    """The model for a task, on the given device, ready for inference."""
    options = dict(options or {})
    if dtype is not None:
        options["torch_dtype"] = dtype
    model = _auto_class(task, folder).from_pretrained(folder, **options).eval()
    return model.to(device) if device is not None else model
