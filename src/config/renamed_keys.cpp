// From the configuration classes of transformers 4.57.6 and 5.23.0. A class of 4.57.6 assigns the names of
// its attribute_map after its own parameters, so the second name wins, unless it calls its base class first.
// Maps that only 5.23.0 has fill in for an absent key.
#include "config/renamed_keys.h"

#include <algorithm>
#include <array>

namespace onnxport::config {
namespace {

struct Row {
  std::string_view types;  // separated by spaces, with one at both ends
  Rename rename;
};

constexpr std::string_view kBartLike = " bart m2m_100 marian mbart speech_to_text whisper detr ";
constexpr std::string_view kGpt2Like =
    " codegen decision_transformer gpt2 gpt_bigcode gptj imagegpt openai-gpt ";
constexpr std::string_view kGpt2Wide = " codegen gpt2 gpt_bigcode gptj imagegpt openai-gpt ";
constexpr std::string_view kT5Like = " t5 mt5 ";

constexpr std::array kRows = std::to_array<Row>({
    {kBartLike, {"hidden_size", "d_model", true}},
    {kBartLike, {"num_attention_heads", "encoder_attention_heads", true}},
    {kBartLike, {"num_hidden_layers", "encoder_layers", false}},
    {" whisper ", {"num_key_value_heads", "encoder_attention_heads", true}},
    {" trocr ", {"hidden_size", "d_model", true}},
    {" trocr ", {"num_attention_heads", "decoder_attention_heads", true}},
    {" trocr ", {"num_hidden_layers", "decoder_layers", true}},
    {kT5Like, {"hidden_size", "d_model", true}},
    {kT5Like, {"num_attention_heads", "num_heads", true}},
    {kT5Like, {"num_hidden_layers", "num_layers", true}},
    {kT5Like, {"head_dim", "d_kv", true}},
    {kGpt2Wide, {"hidden_size", "n_embd", true}},
    {kGpt2Like, {"max_position_embeddings", "n_positions", true}},
    {kGpt2Like, {"num_attention_heads", "n_head", true}},
    {kGpt2Like, {"num_hidden_layers", "n_layer", true}},
    {" bloom falcon ", {"n_embed", "hidden_size", true}},
    {" bloom ", {"num_attention_heads", "n_head", true}},
    {" bloom ", {"num_hidden_layers", "n_layer", true}},
    {" gpt_neo ", {"num_attention_heads", "num_heads", true}},
    {" gpt_neo xglm ", {"num_hidden_layers", "num_layers", true}},
    {" xglm ", {"hidden_size", "d_model", true}},
    {" xglm ", {"num_attention_heads", "attention_heads", true}},
    {" mpt ", {"hidden_size", "d_model", true}},
    {" mpt ", {"num_attention_heads", "n_heads", true}},
    {" mpt ", {"num_hidden_layers", "n_layers", true}},
    {" distilbert ", {"hidden_size", "dim", true}},
    {" distilbert ", {"num_attention_heads", "n_heads", true}},
    {" distilbert ", {"num_hidden_layers", "n_layers", true}},
    {" xlm flaubert ", {"hidden_size", "emb_dim", true}},
    {" xlm flaubert ", {"num_attention_heads", "n_heads", true}},
    {" xlm flaubert ", {"num_hidden_layers", "n_layers", true}},
    {" xlm flaubert ", {"n_words", "vocab_size", true}},
    {" xlnet ", {"hidden_size", "d_model", true}},
    {" xlnet ", {"num_attention_heads", "n_head", true}},
    {" xlnet ", {"num_hidden_layers", "n_layer", true}},
    {" xlnet ", {"n_token", "vocab_size", true}},
    {" funnel ", {"hidden_size", "d_model", true}},
    {" funnel ", {"num_attention_heads", "n_head", true}},
    {" mixtral openai_privacy_filter ", {"num_experts", "num_local_experts", false}},
    {" qwen3_moe ", {"num_local_experts", "num_experts", false}},
    {" beit ", {"segmentation_indices", "out_indices", true}},
    {" swin donut-swin ", {"num_attention_heads", "num_heads", false}},
    {" convnext convnextv2 ", {"num_hidden_layers", "num_stages", false}},
    {" segformer ", {"num_hidden_layers", "num_encoder_blocks", false}},
});

bool names(std::string_view types, std::string_view type) {
  const auto at = types.find(type);
  return at != types.npos && at != 0 && types[at - 1] == ' ' && types[at + type.size()] == ' ';
}

}  // namespace

std::vector<Rename> renamed_keys(std::string_view model_type) {
  std::vector<Rename> renames;
  for (const Row& row : kRows) {
    if (names(row.types, model_type)) renames.push_back(row.rename);
  }
  return renames;
}

}  // namespace onnxport::config
