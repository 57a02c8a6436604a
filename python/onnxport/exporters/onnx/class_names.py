"""Names of the classes of architectures."""

from __future__ import annotations

import re

__all__ = ["class_name"]

# The names of Optimum that are not just the type in camel case.
_NAMES = {
    "audio-spectrogram-transformer": "AST",
    "bigbird_pegasus": "BigBirdPegasus",
    "chinese_clip": "ChineseCLIP",
    "clip": "CLIP",
    "clip_vision_model": "CLIPVisionModel",
    "codegen": "CodeGen",
    "colpali": "ColPali",
    "convbert": "ConvBert",
    "convnext": "ConvNext",
    "convnextv2": "ConvNextV2",
    "cvt": "CvT",
    "data2vec-audio": "Data2VecAudio",
    "data2vec-text": "Data2VecText",
    "data2vec-vision": "Data2VecVision",
    "deepseek_v3": "DeepSeekV3",
    "deit": "DeiT",
    "distilbert": "DistilBert",
    "efficientnet": "EfficientNet",
    "glm": "GLM",
    "gpt2": "GPT2",
    "gpt_bigcode": "GPTBigCode",
    "gpt_neo": "GPTNeo",
    "gpt_neox": "GPTNeoX",
    "gpt_oss": "GPTOss",
    "gptj": "GPTJ",
    "groupvit": "GroupViT",
    "ibert": "IBert",
    "imagegpt": "ImageGPT",
    "internlm2": "InternLM2",
    "layoutlm": "LayoutLM",
    "layoutlmv3": "LayoutLMv3",
    "longt5": "LongT5",
    "m2m_100": "M2M100",
    "markuplm": "MarkupLM",
    "maskformer": "MaskFormer",
    "mbart": "MBart",
    "mctct": "MCTCT",
    "metaclip_2": "MetaCLIP2",
    "mgp-str": "Mgpstr",
    "mobilebert": "MobileBert",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "mobilevit": "MobileViT",
    "modernbert": "ModernBert",
    "mpnet": "MPNet",
    "mpt": "MPT",
    "mt5": "MT5",
    "opt": "OPT",
    "owlv2": "OwlV2",
    "owlvit": "OwlViT",
    "patchtsmixer": "PatchTSMixer",
    "patchtst": "PatchTST",
    "pix2struct": "Pix2Struct",
    "poolformer": "PoolFormer",
    "regnet": "RegNet",
    "rembert": "RemBert",
    "resnet": "ResNet",
    "roformer": "RoFormer",
    "rt_detr": "RTDetr",
    "rt_detr_v2": "RTDetrV2",
    "sew": "SEW",
    "sew-d": "SEWD",
    "smollm3": "SmolLM3",
    "speech_to_text": "Speech2Text",
    "speecht5": "SpeechT5",
    "squeezebert": "SqueezeBert",
    "stablelm": "StableLM",
    "swinv2": "SwinV2",
    "trocr": "TrOCR",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeechSAT",
    "vit": "ViT",
    "vit_mae": "VitMAE",
    "vit_msn": "VitMSN",
    "vitpose": "VitPose",
    "wav2vec2": "Wav2Vec2",
    "wav2vec2-conformer": "Wav2Vec2Conformer",
    "wavlm": "WavLM",
    "xlm": "XLM",
    "xlm-roberta": "XLMRoberta",
}

_OTHER_LIBRARIES = {
    ("timm", "default-timm-config"): "TimmDefault",
    ("sentence_transformers", "transformer"): "SentenceTransformersTransformer",
    ("sentence_transformers", "clip"): "SentenceTransformersCLIP",
}


def class_name(model_type: str, library: str = "transformers") -> str:
    """`BertOnnxConfig` for bert, `XLMRobertaOnnxConfig` for xlm-roberta."""
    camel = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]", model_type))
    if library == "transformers":
        name = _NAMES.get(model_type, camel)
    else:
        prefix = "".join(part.capitalize() for part in library.split("_"))
        name = _OTHER_LIBRARIES.get((library, model_type), prefix + camel)
    return name + "OnnxConfig"
