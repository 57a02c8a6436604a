#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "models/text_encoders/common/deberta.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/config.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// `a|b` or a list; all of them must be in `known`.
std::vector<std::string> choices(const PretrainedConfig& c, const char* key,
                                 const std::vector<std::string>& known) {
  std::vector<std::string> found;
  if (!c.has(key)) return found;
  for (const std::string& text : c.strings(key)) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find('|', begin), text.size());
      std::string word = text.substr(begin, end - begin);
      std::erase(word, ' ');
      std::transform(word.begin(), word.end(), word.begin(),
                     [](unsigned char ch) { return std::tolower(ch); });
      if (std::find(known.begin(), known.end(), word) == known.end()) {
        throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is '{}', expected {}", c.origin(), key,
                                                             text, fmt::join(known, " and ")));
      }
      found.push_back(word);
      begin = end + 1;
    }
  }
  return found;
}

bool has(const std::vector<std::string>& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

DebertaConfig::DebertaConfig(const PretrainedConfig& c, DebertaVersion version)
    : TextEncoderConfig(c),
      embedding_size(c.maybe_integer("embedding_size").value_or(hidden_size)),
      conv_kernel_size(0),
      conv_groups(1),
      pooler_hidden_size(c.maybe_integer("pooler_hidden_size").value_or(hidden_size)),
      conv_act("tanh"),
      pooler_hidden_act(c.string("pooler_hidden_act", "gelu")),
      position_biased_input(c.flag("position_biased_input", true)),
      norm_rel_ebd(false),
      legacy(c.flag("legacy", true)),
      attention{.hidden_size = hidden_size, .heads = num_attention_heads},
      distances{c.integer("max_relative_positions", -1), 0} {
  const bool relative = c.flag("relative_attention");
  bool shared = false;
  if (version == DebertaVersion::second) {
    conv_kernel_size = c.integer("conv_kernel_size");
    conv_groups = c.integer("conv_groups");
    conv_act = c.string("conv_act");
    norm_rel_ebd = has(choices(c, "norm_rel_ebd", {"none", "layer_norm"}), "layer_norm");
    distances.buckets = c.integer("position_buckets");
    shared = c.flag("share_att_key");
  } else {
    attention.contents = ContentProjections::packed;
    if (c.flag("talking_head"))
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: talking_head is true, only false is known", c.origin()));
  }
  const std::vector<std::string> terms = choices(c, "pos_att_type", {"c2p", "p2c"});
  attention.content_to_position = has(terms, "c2p");
  attention.position_to_content = has(terms, "p2c");
  attention.projections = shared ? PositionProjections::shared : PositionProjections::own;
  if (!relative) attention.projections = PositionProjections::none;
  if (distances.max_distance < 1) distances.max_distance = max_position_embeddings;
  // The original's modules accept another size, but its additions then fail.
  const std::int64_t head_size = hidden_size / num_attention_heads;
  if (const auto size = c.maybe_integer("attention_head_size"); size && *size != head_size)
    refuse(c, fmt::format("attention_head_size is {}, expected {}", *size, head_size));
  if (conv_kernel_size > 0 && conv_kernel_size % 2 == 0)
    refuse(c, fmt::format("conv_kernel_size is {}, expected an odd number", conv_kernel_size));
  if (conv_groups < 1 || hidden_size % conv_groups != 0)
    refuse(c, fmt::format("conv_groups is {}, expected a divisor of {}", conv_groups, hidden_size));
  if (!relative) return;
  const auto& [farthest, buckets] = distances;
  constexpr std::int64_t kMost = 1 << 20;  // the table of distances is made here
  if (farthest > kMost || farthest < 1)
    refuse(c, fmt::format("max_relative_positions is {}, expected 1 to {}", farthest, kMost));
  // For these, the original divides by zero and converts the result to an integer.
  if (buckets == 1 || (buckets > 1 && farthest - 1 == buckets / 2))
    refuse(c,
           fmt::format("position_buckets is {} with max_relative_positions {}, which has no buckets for far "
                       "distances; expected another number",
                       buckets, farthest));
}

}  // namespace onnxport::models
