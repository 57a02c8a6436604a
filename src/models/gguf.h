/// What the architectures are in GGUF files: the names, changes and metadata of llama.cpp's converter.
/// https://github.com/ggml-org/llama.cpp/blob/b6907/convert_hf_to_gguf.py (its classes `…Model`), and
/// gguf-py/gguf/tensor_mapping.py there.
#pragma once

#include "onnxport/gguf.h"

namespace onnxport::models {

GgufLayout gguf_bert();
GgufLayout gguf_bloom();
GgufLayout gguf_falcon();
GgufLayout gguf_gemma();
GgufLayout gguf_gemma2();
GgufLayout gguf_gemma3_text();
GgufLayout gguf_gpt2();
GgufLayout gguf_llama();
GgufLayout gguf_mistral();
GgufLayout gguf_mixtral();
GgufLayout gguf_phi3();
GgufLayout gguf_qwen2();
GgufLayout gguf_qwen3();
GgufLayout gguf_qwen3_moe();
GgufLayout gguf_t5();

}  // namespace onnxport::models
