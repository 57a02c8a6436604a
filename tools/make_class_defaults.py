#!/usr/bin/env python3
"""Writes src/config/class_defaults.inc: the keys that every original configuration class declares, with their defaults.

  pip install transformers==4.57.6        (PyTorch is not needed)
  tools/make_class_defaults.py            writes the file; with transformers 5.23.0, class_defaults_v5.inc: the types that exist only there
  tools/make_class_defaults.py --check    exit status 1 when the file differs from what would be written
  tools/make_class_defaults.py gpt2 vit   prints the entries of these types

An entry holds, in the order of declaration, the parameters of the class's own __init__ (and of parent classes below PretrainedConfig),
then keys that it takes out of **kwargs by name, then base keys whose value the class changes without declaring them, then undeclared keys
that the modelling code reads all the same. Values are the
parameters' defaults: null where the class computes the value from other keys or builds a sub-configuration. A sub-configuration that has
a model_type is an entry of its own; one without is an entry "<type>.<key>". The entry "" holds the keys of PretrainedConfig.
"""
import argparse
import ast
import dataclasses
import enum
import inspect
import json
import math
import os
import re
import sys
import textwrap
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
import transformers  # noqa: E402
from transformers import PretrainedConfig  # noqa: E402
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES  # noqa: E402

IS_NEW = transformers.__version__.startswith("5.")
VERSION = "5.23.0" if IS_NEW else "4.57.6"
TARGET = Path(__file__).resolve().parent.parent / "src" / "config" / ("class_defaults_v5.inc" if IS_NEW else "class_defaults.inc")
LIMIT = 60_000  # bytes of one raw string literal: compilers need not take more than 64 KiB

# Types that the exporter knows or that occur as a part of one; sub-configurations follow by themselves.
TYPES = """
aimv2 aimv2_vision_model albert apertus arcee aria_text audio-spectrogram-transformer aya_vision bamba bart beit bert bert-generation
big_bird bigbird_pegasus biogpt bit bitnet blenderbot blenderbot-small blip blip-2 bloom bridgetower bros camembert canine chinese_clip
chinese_clip_vision_model clap clip clip_text_model clip_vision_model clipseg codegen cohere cohere2 cohere2_vision colpali colqwen2
conditional_detr convbert convnext convnextv2 cvt d_fine dab-detr dac data2vec-audio data2vec-text data2vec-vision dbrx deberta deberta-v2
decision_transformer deepseek_v2 deepseek_v3 deepseek_vl deformable_detr deit depth_anything depth_pro detr diffllama dinov2
dinov2_with_registers dinov3_convnext dinov3_vit distilbert doge donut-swin dots1 dpr dpt edgetam edgetam_vision_model efficientnet electra
encodec encoder-decoder eomt ernie ernie4_5 ernie4_5_moe ernie_m esm exaone4 falcon falcon_h1 falcon_mamba fastspeech2_conformer
fastspeech2_conformer_with_hifigan flaubert flava flex_olmo florence2 fnet focalnet fsmt funnel fuyu gemma gemma2 gemma3 gemma3_text gemma3n
gemma3n_text glm glm4 glm4_moe glm4v glpn got_ocr2 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite granite_speech
granitemoe granitemoehybrid granitemoeshared grounding-dino groupvit helium hgnet_v2 hiera hubert hunyuan_v1_dense hunyuan_v1_moe ibert
idefics2 idefics3 ijepa imagegpt instructblip internvl jamba janus jetmoe kosmos-2 layoutlm layoutlmv3 levit lfm2 lfm2_vl lilt llama
llama4_text llava llava_next llava_onevision longcat_flash longformer longt5 luke m2m_100 mamba mamba2 marian markuplm mask2former
maskformer maskformer-swin mbart mctct megatron-bert metaclip_2 mgp-str mimi minimax ministral mistral mistral3 mixtral mm-grounding-dino
mobilebert mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 modernbert modernbert-decoder moonshine mpnet mpt mt5 musicgen nemotron nllb-moe
nystromformer olmo olmo2 olmo3 olmoe oneformer openai-gpt opt owlv2 owlvit paligemma parakeet_ctc parakeet_encoder patchtsmixer patchtst
pegasus perceiver persimmon phi phi3 phi4_multimodal phimoe pix2struct plbart poolformer prompt_depth_anything prophetnet pvt pvt_v2 qwen2
qwen2_5_vl qwen2_audio qwen2_audio_encoder qwen2_moe qwen2_vl qwen3 qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe recurrent_gemma regnet rembert resnet roberta
roberta-prelayernorm roformer rt_detr rt_detr_resnet rt_detr_v2 rwkv sam sam2 sam2_hiera_det_model sam2_video sam2_vision_model sam_hq
sam_vision_model seamless_m4t_v2 seed_oss segformer sew sew-d siglip siglip2 siglip_vision_model smollm3 smolvlm speech_to_text speecht5 splinter squeezebert stablelm starcoder2
superpoint swiftformer swin swin2sr swinv2 switch_transformers t5 t5gemma table-transformer tapas textnet timesformer timm_backbone
timm_wrapper trocr umt5 unispeech unispeech-sat univnet upernet vaultgemma videomae vilt vipllava vision-encoder-decoder
vision-text-dual-encoder visual_bert vit vit_mae vit_msn vitmatte vitpose vitpose_backbone vits vivit vjepa2 voxtral voxtral_encoder wav2vec2 wav2vec2-bert
wav2vec2-conformer wavlm whisper xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod yolos zamba zamba2 zoedepth
""".split()
# The same of transformers 5, which version 4 does not have.
NEW_TYPES = """
afmoe axk1 axk2 bailing_hybrid cohere2_moe cohere_asr cohere_compass_text cwm deepseek_v32 dots3_note_text embedding_gemma2 eomt_dinov3
eurobert exaone_moe fast_vlm flint gemma4 gemma4_text gemma4_unified_text glm4_moe_lite glm_moe_dsa glm_ocr granite_swa granitemoe_swa gte
hrm_text hy_v3 hy_v4 hyperclovax inkling_text internlm3 iquestcoder jais2 jina_embeddings_v3 kimi_linear kolibri1 laguna lfm2_moe lfm3
lighton_ocr mellum mimo_v2_flash minicpm3 minimax_m2 minimax_m3_vl_text ministral3 mistral4 mlcd_vision_model moonshine_streaming nanochat
nemotron_h nomic_bert olmo_hybrid openai_privacy_filter paddleocr_vl parakeet_rnnt parakeet_tdt qwen3_5 qwen3_5_moe qwen3_5_moe_text
qwen3_5_text rf_detr rf_detr_dinov2 sam3_tracker sam3_vision_model sam3_vit_model solar_open youtu zaya
""".split()
# Classes with a model_type that no mapping and no sub_configs leads to: (module, class).
MORE = [("pixtral", "PixtralVisionConfig"), ("speecht5", "SpeechT5HifiGanConfig"), ("t5gemma", "T5GemmaModuleConfig")]
# Keys that the original modelling code reads (getattr(config, key, default)) although the class does not declare them: {key: (default, types)}.
UNDECLARED = {
    "head_dim": (
        None,
        "cohere cohere2 exaone4 granite moonshine olmo olmo2 olmo3 parakeet_encoder phi phi3 qwen2 qwen2_moe qwen3_moe smollm3 starcoder2",
    ),
    "rope_scaling": (None, "gemma gemma2 glm glm4 helium mistral mixtral modernbert"),
    "use_sliding_window": (True, "phimoe"),
    "position_embedding_type": ("absolute", "big_bird blip_text_model bros chinese_clip_text_model clap_text_model nystromformer splinter"),
    "embedding_size": (None, "deberta deberta-v2"),
    "cls_dropout": (None, "deberta deberta-v2"),
    "talking_head": (False, "deberta"),
    "attention_head_size": (None, "deberta-v2 sew-d"),
    "share_att_key": (False, "deberta-v2"),
    "conv_kernel_size": (0, "deberta-v2 sew-d"),
    "conv_groups": (1, "deberta-v2 sew-d"),
    "conv_act": ("tanh", "deberta-v2 sew-d"),
    "position_buckets": (-1, "deberta-v2"),
    "norm_rel_ebd": ("none", "deberta-v2"),
    "summary_type": ("last", "convbert roformer"),
    "summary_use_proj": (False, "convbert roformer"),
    "summary_activation": (None, "convbert roformer"),
    "summary_proj_to_labels": (False, "convbert electra roformer"),
    "adapter_attn_dim": (None, "hubert sew sew-d unispeech unispeech-sat wavlm"),
    "add_adapter": (False, "hubert sew sew-d unispeech unispeech-sat"),
    "vision_use_head": (True, "siglip_vision_model"),
    "scaling_dim": (1, "patchtsmixer patchtst"),
    "keepdim": (True, "patchtsmixer patchtst"),
    "minimum_scale": (None, "patchtsmixer patchtst"),
    "default_scale": (None, "patchtsmixer patchtst"),
}
# The same for every type whose rotary embedding goes through modeling_rope_utils (gpt_neox sets it from rotary_pct).
UNDECLARED_ROPE = {"partial_rotary_factor": 1.0}
# Keys of loaded configurations that PretrainedConfig understands without having them in its signature.
BASE_EXTRA = {
    "model_type": None,
    "torch_dtype": None,
    "use_bfloat16": False,
    "tf_legacy_loss": False,
    "gradient_checkpointing": False,
    "quantization_config": None,
    "auto_map": None,
    "transformers_version": None,
    "name_or_path": "",
    "_name_or_path": "",
    "_commit_hash": None,
    "attn_implementation": None,
    "_attn_implementation": None,
    "_attn_implementation_autoset": None,
}
# What a freshly made configuration holds where the signature says None.
BASE_CONSTRUCTED = ("pruned_heads", "id2label", "label2id", "num_labels")


def jsonable(value):
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple, set, range)):
        return [jsonable(v) for v in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    return None  # a nested configuration, a type, a required parameter


def parameters(function):
    for name, p in inspect.signature(function).parameters.items():
        if name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            yield name, jsonable(None if p.default is p.empty else p.default)


def keyword_reads(function):
    """kwargs.pop("key", default), kwargs.get(…), kwargs.setdefault(…), kwargs["key"] in the body of a constructor."""
    for n in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        key, default = None, None
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("pop", "get", "setdefault") and ast.unparse(n.func.value) == "kwargs":
            key, default = n.args[0], n.args[1] if len(n.args) > 1 else None
        elif isinstance(n, ast.Subscript) and ast.unparse(n.value) == "kwargs":
            key = n.slice
        if isinstance(key, ast.Constant):
            try:
                value = ast.literal_eval(default) if default is not None else None
            except ValueError:
                value = None  # computed from another key
            yield key.value, jsonable(value)


def constructed(cls):
    try:
        return cls()
    except (ValueError, TypeError, OSError):
        return None  # classes that demand their parts, or a configuration of the Hub


def field_defaults(cls):
    """Of a configuration class of transformers 5: its fields, then keys that it takes out of **kwargs, then the spellings of version 4
    that its rotary settings understand."""
    base = {field.name: field.default for field in dataclasses.fields(PretrainedConfig)}
    out = {}
    for field in dataclasses.fields(cls):
        made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        value = jsonable(None if made is dataclasses.MISSING else made)
        if field.name not in base or value != jsonable(base[field.name]):
            out[field.name] = value
    for one in cls.__mro__:
        if one is PretrainedConfig:
            break
        if "__post_init__" in vars(one):
            for name, value in keyword_reads(one.__post_init__):
                out.setdefault(name, value)
    if "rope_parameters" in out:
        for name, value in {"rope_theta": cls.default_theta, "rope_scaling": None, **UNDECLARED_ROPE}.items():
            out.setdefault(name, value)
    return out


def entry(cls):
    if IS_NEW:
        return field_defaults(cls)
    constructors = [c.__init__ for c in cls.__mro__ if "__init__" in vars(c) and c not in (PretrainedConfig, object)]
    out = {}
    for f in constructors:
        for name, value in parameters(f):
            out.setdefault(name, value)
    for f in constructors:
        for name, value in keyword_reads(f):
            if value is not None or name not in out:
                out.setdefault(name, value)
    instance, base = constructed(cls), PretrainedConfig()
    if instance is not None:
        for name, value in vars(base).items():
            mine = vars(instance).get(name, value)
            if not name.startswith("_") and name not in out and name not in ("id2label", "label2id") and mine != value:
                out[name] = jsonable(mine)
    for name, (value, types) in UNDECLARED.items():
        if cls.model_type in types.split():
            out.setdefault(name, value)
    if "rope_scaling" in out and "rotary_pct" not in out:
        for name, value in UNDECLARED_ROPE.items():
            out.setdefault(name, value)
    return out


def base_entry():
    out, instance = dict(parameters(PretrainedConfig.__init__)), PretrainedConfig()
    for name in BASE_CONSTRUCTED:
        out[name] = jsonable(getattr(instance, name))
    out.update(jsonable(PretrainedConfig._get_global_generation_defaults()))
    out.update(BASE_EXTRA)
    return out


def sub_configs(cls):
    subs = cls.sub_configs
    if isinstance(subs, property):  # present only once the configuration has a backbone
        instance = constructed(cls)
        subs = instance.sub_configs if instance is not None else {}
    return {k: c for k, c in subs.items() if isinstance(c, type) and issubclass(c, PretrainedConfig) and c is not PretrainedConfig}


def collect():
    entries = {} if IS_NEW else {"": base_entry()}
    known = set(re.findall(r'^\{"([^"]+)"', (TARGET.parent / "class_defaults.inc").read_text(), re.MULTILINE)) if IS_NEW else set()

    def add(name, cls):
        if name in entries or name in known:
            return
        entries[name] = entry(cls)
        for key, sub in sub_configs(cls).items():
            add(sub.model_type or f"{name}.{key}", sub)

    for module, name in () if IS_NEW else MORE:
        cls = getattr(__import__(f"transformers.models.{module}.configuration_{module}", fromlist=[name]), name)
        add(cls.model_type, cls)
    for t in NEW_TYPES if IS_NEW else TYPES:
        if t not in CONFIG_MAPPING_NAMES:
            sys.exit(f"{t}: transformers {transformers.__version__} has no such model type")
        add(t, CONFIG_MAPPING[t])
    return entries


def line(name, keys):
    text = json.dumps(keys, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    if ')json"' in text or len(text) > LIMIT:
        sys.exit(f"{name}: does not fit a raw string literal")
    return f'{{"{name}", R"json({text})json"}},'


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("types", nargs="*", help="print only these")
    a.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    a.add_argument("--out", type=Path, default=TARGET)
    o = a.parse_args()
    if transformers.__version__ != VERSION:
        sys.exit(f"needs transformers {VERSION}, found {transformers.__version__}")
    entries = collect()
    if o.types:
        for t in o.types:
            print(line(t, entries[t]) if t in entries else f"{t}: unknown")
        return
    text = (
        f"// Generated by tools/make_class_defaults.py from transformers {VERSION}; do not edit.\n"
        "// {model_type, keys that the original configuration class declares with their defaults, in the order of declaration}.\n"
        "// null: no default, or computed from other keys. \"<type>.<key>\": a part without a model_type. \"\": the keys of every configuration.\n"
        "// clang-format off\n"
    )
    text += "".join(line(k, v) + "\n" for k, v in sorted(entries.items())) + "// clang-format on\n"
    if o.check:
        if not o.out.exists() or o.out.read_text() != text:
            sys.exit(f"{o.out} is not up to date: run tools/make_class_defaults.py")
        return
    o.out.parent.mkdir(parents=True, exist_ok=True)
    o.out.write_text(text)
    print(f"{o.out}: {len(entries)} entries, {len(text)} bytes, longest {max(len(line(k, v)) for k, v in entries.items())}")


if __name__ == "__main__":
    main()
