// T5. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/t5/modeling_t5.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "models/encoder_decoders/common/t5.h"

namespace onnxport::models {
namespace {

/// The layers of one half of T5. `ffn`: the number of the feed-forward among the parts of a layer.
void add_t5_half(GgufTensors& names, const std::string& stored, const std::string& half, int ffn,
                 bool gated) {
  const auto add = [&](const char* name, const std::string& key) {
    names.push_back(
        {fmt::format("{}.blk.{{}}.{}", stored, name), fmt::format("{}.block.{{}}.layer.{}", half, key)});
  };
  const auto add_attention = [&](const std::string& prefix, const std::string& key) {
    for (const char* part : {"q", "k", "v", "o"}) {
      add((prefix + "attn_" + part).c_str(), fmt::format("{}.{}", key, part));
    }
    add((prefix + "attn_rel_b").c_str(), key + ".relative_attention_bias");
    add((prefix + "attn_norm").c_str(), key.substr(0, 2) + "layer_norm");
  };
  add_attention("", "0.SelfAttention");
  if (ffn == 2) add_attention("cross_", "1.EncDecAttention");
  add("ffn_norm", fmt::format("{}.layer_norm", ffn));
  add("ffn_gate", fmt::format("{}.DenseReluDense.wi_0", ffn));
  add("ffn_up", fmt::format("{}.DenseReluDense.{}", ffn, gated ? "wi_1" : "wi"));
  add("ffn_down", fmt::format("{}.DenseReluDense.wo", ffn));
  names.push_back({stored + ".output_norm", half + ".final_layer_norm"});
}

GgufLayout gguf() {
  return {.architecture = "t5",
          .original_class = "T5ForConditionalGeneration",
          .tensors = [](const PretrainedConfig& config) -> GgufTensors {
            const bool gated = config.maybe_string("feed_forward_proj").value_or("relu").starts_with("gated");
            GgufTensors names = {{"token_embd", "shared"}, {"output", "lm_head"}};
            add_t5_half(names, "enc", "encoder", 1, gated);
            add_t5_half(names, "dec", "decoder", 2, gated);
            return names;
          },
          .config_keys = {{"context_length", "n_positions"},
                          {"block_count", "num_layers"},
                          {"decoder_block_count", "num_decoder_layers"},
                          {"feed_forward_length", "d_ff"},
                          {"embedding_length", "d_model"},
                          {"attention.key_length", "d_kv"},
                          {"attention.head_count", "num_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"attention.relative_buckets_count", "relative_attention_num_buckets"},
                          {"decoder_start_token_id", "decoder_start_token_id"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                const bool gated = file.has_tensor("enc.blk.0.ffn_gate.weight");
                return ConfigTexts{{"feed_forward_proj", gated ? R"("gated-gelu")" : R"("relu")"}};
              }};
}

}  // namespace

void register_t5(TasksManager& tasks) {
  register_t5_like(tasks, {.model_type = "t5", .forward = forward_t5, .gguf = gguf()});
}

}  // namespace onnxport::models
