// Settings of rotary position embeddings, as transformers 4 and 5 spell them. Originals:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/modeling_rope_utils.py
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/modeling_rope_utils.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "onnxport/error.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport {
namespace {

/// The object that holds the settings.
struct Settings {
  PretrainedConfig rope;
  bool newer;  // `rope_parameters` of version 5
};

std::optional<Settings> find_settings(const PretrainedConfig& c, const std::string& layer_type) {
  const bool newer = c.has("rope_parameters");
  // Where a class of version 4 has scaling by default, that of version 5 has it in rope_parameters, which
  // files of version 5 replace.
  if (newer ? c.given("rope_scaling") : c.has("rope_scaling")) return Settings{c.sub("rope_scaling"), false};
  if (!newer) return {};
  PretrainedConfig rope = c.sub("rope_parameters");
  if (!layer_type.empty() && rope.has(layer_type)) return Settings{rope.sub(layer_type), true};
  return Settings{std::move(rope), true};
}

double mscale(double scale, double factor = 1) { return scale <= 1 ? 1 : 0.1 * factor * std::log(scale) + 1; }

// The attention factor of yarn: explicit, or from the two mscales, or from the factor.
double yarn_attention(const PretrainedConfig& rope, double factor) {
  const auto given = rope.maybe_real("attention_factor");
  const double one = rope.maybe_real("mscale").value_or(0);
  const double all = rope.maybe_real("mscale_all_dim").value_or(0);
  if (given) return *given;
  return one != 0 && all != 0 ? mscale(factor, one) / mscale(factor, all) : mscale(factor);
}

double ratio(std::int64_t length, std::int64_t trained) {
  return static_cast<double>(length) / static_cast<double>(trained);
}

void read_yarn(nn::RopeParameters& p, const Settings& settings) {
  const PretrainedConfig& rope = settings.rope;
  p.factor = settings.newer && !rope.has("factor")
                 ? ratio(p.max_position_embeddings, p.original_max_position_embeddings)
                 : rope.real("factor");
  p.beta_fast = rope.maybe_real("beta_fast").value_or(p.beta_fast);
  p.beta_slow = rope.maybe_real("beta_slow").value_or(p.beta_slow);
  p.truncate = rope.flag("truncate", true);
  p.attention_factor = yarn_attention(rope, p.factor);
}

// Version 4 knows the trained length only from the key beside the settings, and then ignores the factor.
void read_longrope(nn::RopeParameters& p, const PretrainedConfig& c, const Settings& settings) {
  const PretrainedConfig& rope = settings.rope;
  p.short_factor = rope.reals("short_factor");
  p.long_factor = rope.reals("long_factor");
  const auto factor = rope.maybe_real("factor");
  if (settings.newer) {
    p.factor = factor.value_or(ratio(p.max_position_embeddings, p.original_max_position_embeddings));
  } else if (const auto trained = c.maybe_integer("original_max_position_embeddings")) {
    p.original_max_position_embeddings = *trained;
    p.factor = ratio(p.max_position_embeddings, *trained);
  } else {
    p.original_max_position_embeddings = p.max_position_embeddings;
    p.factor = factor.value_or(1);
  }
  const double length = static_cast<double>(p.original_max_position_embeddings);
  p.attention_factor = p.factor <= 1 ? 1 : std::sqrt(1 + std::log(p.factor) / std::log(length));
  if (const auto given = rope.maybe_real("attention_factor")) p.attention_factor = *given;
}

// Which of three axes (time, height, width) turns each pair: mrope_section counts the pairs of each, which
// lie in blocks or take turns.
std::vector<std::int64_t> read_axes(const PretrainedConfig& rope, std::int64_t pairs) {
  const std::vector<std::int64_t> sections = rope.integers("mrope_section");
  if (rope.flag("mrope_interleaved", false)) return nn::axes_in_turns(sections, pairs);
  std::vector<std::int64_t> axes;
  for (std::size_t axis = 0; axis < sections.size() && axis < 3; ++axis) {
    for (std::int64_t i = 0; i < std::min(sections[axis], pairs + 1); ++i)
      axes.push_back(static_cast<std::int64_t>(axis));
  }
  return axes;
}

}  // namespace

nn::RopeParameters rope_parameters(const PretrainedConfig& c, std::int64_t head_dim, const RopeKeys& keys) {
  const auto settings = find_settings(c, keys.layer_type);
  // The settings win over the keys of the class, and those over the common keys.
  const auto choose = [&](const char* key, const std::optional<double>& of_class, double usual) {
    if (settings && settings->rope.has(key)) {
      c.harmless({key});  // a copy of an older file
      return settings->rope.real(key);
    }
    return of_class ? *of_class : c.real(key, usual);
  };
  nn::RopeParameters p;
  p.theta = choose("rope_theta", keys.theta, p.theta);
  const double part = choose("partial_rotary_factor", keys.partial_rotary_factor, 1);
  if (part > 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: partial_rotary_factor is {}, expected at most 1", c.origin(), part));
  }
  p.dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * part);
  p.max_position_embeddings = c.integer("max_position_embeddings", 0);
  p.original_max_position_embeddings = p.max_position_embeddings;
  if (!settings) {
    c.harmless({"original_max_position_embeddings"});  // of scaled positions
    return p;
  }
  const PretrainedConfig& rope = settings->rope;
  const std::string old_type = rope.string("type", "default");
  p.type = rope.string("rope_type", old_type);
  // Two names from older files. A real yarn configuration has no factors per frequency.
  if (p.type == "su" || (p.type == "yarn" && rope.has("long_factor"))) p.type = "longrope";
  if (p.type == "mrope") p.type = "default";  // of the older name only the sections count
  if (rope.has("mrope_section")) p.axes = read_axes(rope, p.dim / 2);
  if (const auto trained = rope.maybe_integer("original_max_position_embeddings"))
    p.original_max_position_embeddings = *trained;
  if (p.type == "default") {
    rope.harmless({"factor", "attention_factor", "original_max_position_embeddings", "low_freq_factor",
                   "high_freq_factor", "short_factor", "long_factor", "beta_fast", "beta_slow", "mscale",
                   "mscale_all_dim", "truncate"});  // leftovers
    c.harmless({"original_max_position_embeddings"});
    return p;
  }
  if (settings->newer && p.type != "linear" && p.type != "dynamic") {
    if (const auto trained = c.maybe_integer("original_max_position_embeddings"))
      p.original_max_position_embeddings = *trained;
  }
  if (p.type == "yarn") {
    read_yarn(p, *settings);
  } else if (p.type == "longrope") {
    read_longrope(p, c, *settings);
  } else if (p.type == "proportional") {
    p.dim = head_dim;
    p.turning = 2 * static_cast<std::int64_t>(part * static_cast<double>(head_dim) / 2);
    p.factor = rope.maybe_real("factor").value_or(1);
  } else {
    p.factor = rope.real("factor");
  }
  if (p.type == "llama3") {
    p.low_freq_factor = rope.real("low_freq_factor");
    p.high_freq_factor = rope.real("high_freq_factor");
  }
  return p;
}

}  // namespace onnxport
