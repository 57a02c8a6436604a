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

import make_checkpoint

HERE = pathlib.Path(__file__).resolve().parent

BERT = dict(model_type="bert", architectures=["BertModel"], vocab_size=30522, max_position_embeddings=512,
            type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
MOE = dict(model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], hidden_size=2048, intermediate_size=6144,
           moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8, norm_topk_prob=True, decoder_sparse_step=1,
           mlp_only_layers=[], num_attention_heads=32, num_key_value_heads=4, head_dim=128, max_position_embeddings=40960,
           rms_norm_eps=1e-6, rope_theta=1000000.0, hidden_act="silu", tie_word_embeddings=False, dtype="bfloat16")


def layers_with(kind, other, count, places):
    return [kind if n in places else other for n in range(count)]


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
    "llama-7b": dict(model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=32000, hidden_size=4096,
                     intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
                     max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
                     tie_word_embeddings=False, dtype="bfloat16"),
    "qwen3-moe-30b": dict(MOE, vocab_size=151936, num_hidden_layers=48),
    "qwen3-moe-layer": dict(MOE, vocab_size=1000, num_hidden_layers=1, dtype="float32"),
    "lfm2-1.2b": dict(model_type="lfm2", architectures=["Lfm2ForCausalLM"], vocab_size=65536, hidden_size=2048,
                      intermediate_size=8192, block_auto_adjust_ff_dim=False, num_hidden_layers=16, num_attention_heads=32,
                      num_key_value_heads=8, max_position_embeddings=128000, norm_eps=1e-5, rope_theta=1000000.0,
                      conv_L_cache=3, conv_bias=False, tie_word_embeddings=True, dtype="bfloat16",
                      layer_types=layers_with("full_attention", "conv", 16, [2, 5, 8, 10, 12, 14])),
    "granite-4-h-1b": dict(model_type="granitemoehybrid", architectures=["GraniteMoeHybridForCausalLM"], vocab_size=100352,
                           hidden_size=1536, intermediate_size=4096, shared_intermediate_size=4096, num_hidden_layers=40,
                           num_attention_heads=12, num_key_value_heads=4, num_local_experts=0, num_experts_per_tok=0,
                           mamba_n_heads=48, mamba_d_head=64, mamba_d_state=128, mamba_n_groups=1, mamba_d_conv=4,
                           mamba_expand=2, mamba_chunk_size=256, mamba_conv_bias=True, mamba_proj_bias=False,
                           position_embedding_type="nope", attention_multiplier=0.0078125, embedding_multiplier=12,
                           logits_scaling=6, residual_multiplier=0.22, rms_norm_eps=1e-5, max_position_embeddings=131072,
                           hidden_act="silu", tie_word_embeddings=True, dtype="bfloat16",
                           layer_types=layers_with("attention", "mamba", 40, [5, 15, 25, 35])),
    "sdxl-unet": dict(_class_name="UNet2DConditionModel", _diffusers_version="0.35.2", in_channels=4, out_channels=4,
                      addition_embed_type="text_time", addition_time_embed_dim=256, attention_head_dim=[5, 10, 20],
                      block_out_channels=[320, 640, 1280], cross_attention_dim=2048, layers_per_block=2,
                      down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                      up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                      projection_class_embeddings_input_dim=2816, transformer_layers_per_block=[1, 2, 10],
                      use_linear_projection=True, sample_size=128, dtype="bfloat16"),
    "stable-diffusion-1.5": dict(
        _class_name="StableDiffusionPipeline",
        text_encoder=dict(architectures=["CLIPTextModel"], vocab_size=49408, hidden_size=768, intermediate_size=3072,
                          num_attention_heads=12, num_hidden_layers=12, projection_dim=768),
        unet=dict(_class_name="UNet2DConditionModel", sample_size=64, cross_attention_dim=768),
        vae=dict(_class_name="AutoencoderKL", sample_size=512, block_out_channels=[128, 256, 512, 512],
                 down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                 layers_per_block=2)),
    "t5-base": dict(model_type="t5", architectures=["T5ForConditionalGeneration"], d_ff=3072, d_kv=64, d_model=768,
                    num_layers=12, num_decoder_layers=12, num_heads=12, vocab_size=32128, decoder_start_token_id=0),
    "whisper-tiny": dict(model_type="whisper", architectures=["WhisperForConditionalGeneration"], d_model=384,
                         encoder_layers=4, decoder_layers=4, encoder_attention_heads=6, decoder_attention_heads=6,
                         encoder_ffn_dim=1536, decoder_ffn_dim=1536, num_mel_bins=80, vocab_size=51865),
    "whisper-base": dict(model_type="whisper", architectures=["WhisperForConditionalGeneration"], d_model=512,
                         encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
                         encoder_ffn_dim=2048, decoder_ffn_dim=2048, num_mel_bins=80, vocab_size=51865),
    "moonshine-base": dict(model_type="moonshine", architectures=["MoonshineForConditionalGeneration"], hidden_size=416,
                           intermediate_size=1664, encoder_num_hidden_layers=8, decoder_num_hidden_layers=8,
                           encoder_num_attention_heads=8, decoder_num_attention_heads=8, partial_rotary_factor=0.62),
    "wav2vec2-base": dict(model_type="wav2vec2", architectures=["Wav2Vec2Model"]),
    "wavlm-base": dict(model_type="wavlm", architectures=["WavLMModel"]),
    # Without noise: files of different exporters would make different noise.
    "vits-mms": dict(model_type="vits", architectures=["VitsModel"], vocab_size=1000, noise_scale=0.0, noise_scale_duration=0.0),
    "vit-base": dict(model_type="vit", architectures=["ViTForImageClassification"]),
    "resnet-50": dict(model_type="resnet", architectures=["ResNetForImageClassification"]),
    "convnext-tiny": dict(model_type="convnext", architectures=["ConvNextForImageClassification"]),
    "clip-vit-b32": dict(model_type="clip", architectures=["CLIPModel"]),
    "segformer-b0": dict(model_type="segformer", architectures=["SegformerForSemanticSegmentation"]),
    "efficientnet-b0": dict(model_type="efficientnet", architectures=["EfficientNetForImageClassification"],
                            image_size=224, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280),
    "mobilevit-small": dict(model_type="mobilevit", architectures=["MobileViTForImageClassification"]),
    "swinv2-tiny": dict(model_type="swinv2", architectures=["Swinv2ForImageClassification"], image_size=256,
                        window_size=8),
    "dinov3-vit-s": dict(model_type="dinov3_vit", architectures=["DINOv3ViTModel"], hidden_size=384,
                         intermediate_size=1536, num_attention_heads=6, num_register_tokens=4),
    "hiera-tiny": dict(model_type="hiera", architectures=["HieraForImageClassification"], depths=[1, 2, 7, 2]),
    "depth-anything-small": dict(model_type="depth_anything", architectures=["DepthAnythingForDepthEstimation"],
                                 backbone_config=dict(model_type="dinov2", hidden_size=384, num_attention_heads=6,
                                                      image_size=518, patch_size=14, apply_layernorm=True,
                                                      reshape_hidden_states=False,
                                                      out_features=["stage9", "stage10", "stage11", "stage12"])),
    "rt-detr-r18": dict(model_type="rt_detr", architectures=["RTDetrForObjectDetection"], decoder_layers=3,
                        hidden_expansion=0.5, encoder_in_channels=[128, 256, 512],
                        backbone_config=dict(model_type="rt_detr_resnet", depths=[2, 2, 2, 2], layer_type="basic",
                                             hidden_sizes=[64, 128, 256, 512],
                                             out_features=["stage2", "stage3", "stage4"])),
    "detr-resnet-50": dict(model_type="detr", architectures=["DetrForObjectDetection"], use_timm_backbone=False,
                           use_pretrained_backbone=False, backbone=None,
                           backbone_config=dict(model_type="resnet", out_features=["stage4"])),
}


SHARDS = {"llama-7b": 4, "qwen3-moe-30b": 16}
HOLLOW = ["qwen3-moe-30b"]  # only for exports that leave the weights in place


class Failed(Exception):
    """A command of the benchmark did not succeed."""


Usage = collections.namedtuple("Usage", "seconds cpu_seconds peak_mb")


def checkpoint(name, work, layers=None, python=None):
    """Folder of the synthetic checkpoint, made unless it is there. `python`: command of an interpreter that has
    transformers, and diffusers for a pipeline."""
    config = dict(CONFIGS[name])
    folder = work / name
    if layers:
        config["num_hidden_layers"] = layers
        folder = work / f"{name}-{layers}-layers"
    written = folder / "made-from.json"
    if written.exists() and json.loads(written.read_text()) == config:
        return folder
    partial = work / (folder.name + ".partial")
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "wanted.json").write_text(json.dumps(config))
    if make_checkpoint.type_of(config) in make_checkpoint.TYPES:
        subprocess.run([sys.executable, HERE / "make_checkpoint.py", partial / "wanted.json", partial, "--shards",
                        str(SHARDS.get(name, 1)), *["--hollow"] * (name in HOLLOW)], check=True)
    elif python:
        subprocess.run([*python, HERE / "make_with_torch.py", partial / "wanted.json", partial], check=True)
    else:
        raise Failed(f"{name}: its checkpoint is made by transformers, which comes with --peer")
    (partial / "wanted.json").rename(partial / "made-from.json")
    partial.rename(folder)
    return folder


def measured(command, log=None, environment=None):
    """Usage of a command that must succeed. With `log`, its standard error goes to that file."""
    # A process inherits the peak of the one that starts it. So a small shell does, and leaves it to us, its subreaper.
    # The command waits for a line until that shell is gone: the shell collects a child that ends before it does.
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0):
        raise Failed("prctl(PR_SET_CHILD_SUBREAPER) failed")
    errors = open(log, "wb") if log else None
    begin, go = os.pipe()
    script = 'exec 3<&0; { read -r line <&3; exec "$@" 3<&-; } >/dev/null & echo $!'
    shell = subprocess.run(["/bin/sh", "-c", script, "sh", *command], check=True, stdin=begin, stdout=subprocess.PIPE,
                           stderr=errors, env=environment)
    pid = int(shell.stdout)
    start = time.perf_counter()
    os.write(go, b"\n")
    os.close(begin)
    os.close(go)
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


def output(command):
    """Standard output of a command that must succeed."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise Failed(result.stderr.strip())
    return result.stdout
