#include "config/plausible.h"

#include <algorithm>
#include <array>
#include <limits>

namespace onnxport::config {

Range plausible(std::string_view key) {
  constexpr std::int64_t kMostLayers = 10'000, kMostHeads = 65'536, kMostElements = 2'147'483'647;
  const auto ends_with_any = [&](const auto& endings) {
    return std::ranges::any_of(endings, [&](std::string_view ending) { return key.ends_with(ending); });
  };
  constexpr std::array<std::string_view, 2> layers = {"layers", "n_layer"};
  constexpr std::array<std::string_view, 4> heads = {"heads", "n_head", "num_groups", "hidden_groups"};
  constexpr std::array sizes = std::to_array<std::string_view>(
      {"hidden_size", "d_model", "n_embd", "head_dim", "d_kv", "patch_size", "image_size", "vocab_size",
       "num_channels", "stride", "embed_dim", "num_queries", "max_position_embeddings",
       "max_source_positions", "max_target_positions", "window_pattern"});
  // 0 in the last two stands for another key.
  constexpr std::array<std::string_view, 3> zero = {"type_vocab_size", "decoder_vocab_size",
                                                    "output_hidden_size"};
  if (std::ranges::find(zero, key) != zero.end()) return {0, kMostElements};
  if (ends_with_any(heads)) return {1, kMostHeads};
  // Numbers of layers below 0 count from the last one.
  if (key == "vision_feature_layers") return {-kMostLayers, kMostLayers};
  if (ends_with_any(layers)) return {0, kMostLayers};
  if (key == "dim" || ends_with_any(sizes)) return {1, kMostElements};
  return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
}

}  // namespace onnxport::config
