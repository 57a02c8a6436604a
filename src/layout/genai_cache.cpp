#include "layout/genai_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "layout/genai_config.h"

namespace onnxport::layout {
namespace {

constexpr std::size_t kRank = 4, kHeads = 1, kLength = 2, kHeadSize = 3;

// "past_key_values.11.key" -> "past_key_values.%d.key"
std::string pattern_of(const std::string& name, std::int64_t layer) {
  const std::string number = std::to_string(layer);
  const auto is_digit = [&](std::size_t i) {
    return i < name.size() && std::isdigit(static_cast<unsigned char>(name[i])) != 0;
  };
  for (std::size_t at = name.find(number); at != std::string::npos; at = name.find(number, at + 1)) {
    const bool part_of_longer = (at > 0 && is_digit(at - 1)) || is_digit(at + number.size());
    if (!part_of_longer) return std::string(name).replace(at, number.size(), "%d");
  }
  return {};
}

class Reader {
 public:
  Reader(const ExportPlan& plan, const Component& component, std::string_view prefix, FixedParts fixed)
      : plan_(plan), component_(component), prefix_(prefix), fixed_(fixed) {}

  GenaiCache read() {
    for (const StateSpec& state : component_.interface.states) {
      if (state.part.starts_with("encoder.") == prefix_.empty()) continue;
      const std::string part = state.part.substr(prefix_.size());
      if (std::find(fixed_.begin(), fixed_.end(), part) != fixed_.end()) {
        add_fixed(state, part == "conv" ? conv_ : recurrent_);
        continue;
      }
      if (part != "key" && part != "value") {
        refuse(state, "the client holds only keys and values, and the states of LFM2 and Qwen 3.5");
      }
      add(state, part == "key" ? key_ : value_);
    }
    if (key_.shapes.size() != value_.shapes.size()) {
      refuse_genai(plan_, fmt::format("component '{}' has {} keys and {} values", component_.name,
                                      key_.shapes.size(), value_.shapes.size()));
    }
    if (key_.shapes.empty())
      refuse_genai(plan_, fmt::format("component '{}' has no cache of keys and values", component_.name));
    for (std::size_t i = 0; i < key_.shapes.size(); ++i) {
      if (key_.shapes[i] == value_.shapes[i]) continue;
      refuse_genai(plan_,
                   fmt::format("the keys of layer {} have the shape {}, and its values {}; the client "
                               "has one size for both",
                               key_.layers[i], to_string(key_.shapes[i]), to_string(value_.shapes[i])));
    }
    GenaiCache cache{.past_key = key_.input,
                     .past_value = value_.input,
                     .present_key = key_.output,
                     .present_value = value_.output,
                     .layers = static_cast<std::int64_t>(key_.shapes.size()),
                     .heads = *key_.shapes.front()[kHeads].constant(),
                     .head_size = *key_.shapes.front()[kHeadSize].constant()};
    if (!conv_.shapes.empty()) describe_fixed(cache);
    return cache;
  }

 private:
  struct Part {
    std::string input, output;  // patterns
    std::vector<std::int64_t> layers;
    std::vector<Shape> shapes;
  };

  [[noreturn]] void refuse(const StateSpec& state, const std::string& reason) const {
    refuse_genai(plan_, fmt::format("state '{}' ({} of layer {}): {}",
                                    state.input.empty() ? state.output : state.input, state.part, state.layer,
                                    reason));
  }

  void add_pattern(const StateSpec& state, const std::string& name, std::string& pattern, bool first) const {
    const std::string own = name.empty() ? std::string() : pattern_of(name, state.layer);
    if (own.empty() != name.empty()) refuse(state, "its name does not contain the number of its layer");
    if (first) pattern = own;
    if (own != pattern) {
      refuse(state, fmt::format("the client has one pattern for the names of all layers, got '{}' and '{}'",
                                pattern, own));
    }
  }

  void add(const StateSpec& state, Part& part) {
    const Shape& shape = state.shape;
    if (shape.size() != kRank || !shape[kHeads].is_constant() || !shape[kHeadSize].is_constant()) {
      refuse(state, fmt::format("expected the shape [batch, heads, length, head size] with numbers for heads "
                                "and their size, got {}",
                                to_string(shape)));
    }
    if (shape[0].is_constant())
      refuse(state, "the client needs an export with dynamic axes; leave out --no-dynamic-axes");
    if (prefix_.empty() && state.growing_axis != static_cast<int>(kLength))
      refuse(state, "the client appends new tokens to the third axis");
    const bool first = part.shapes.empty();
    add_pattern(state, state.input, part.input, first);
    add_pattern(state, state.output, part.output, first);
    part.layers.push_back(state.layer);
    part.shapes.push_back(shape);
  }

  void add_fixed(const StateSpec& state, Part& part) {
    const Shape& shape = state.shape;
    const bool known =
        std::all_of(shape.begin() + 1, shape.end(), [](const Dim& d) { return d.is_constant(); });
    if (shape.size() < 3 || !known)
      refuse(state, "expected fixed sizes behind the batch, got " + to_string(shape));
    const bool first = part.shapes.empty();
    add_pattern(state, state.input, part.input, first);
    add_pattern(state, state.output, part.output, first);
    if (!first && shape[2] != part.shapes.front()[2]) refuse(state, "the client has one length for all");
    part.layers.push_back(state.layer);
    part.shapes.push_back(shape);
  }

  void describe_fixed(GenaiCache& cache) const {
    cache.past_conv = conv_.input;
    cache.present_conv = conv_.output;
    cache.conv_size = *conv_.shapes.front()[2].constant();
    cache.past_recurrent = recurrent_.input;
    cache.present_recurrent = recurrent_.output;
    cache.layers += static_cast<std::int64_t>(conv_.layers.size());
    cache.layer_types.assign(static_cast<std::size_t>(cache.layers), "full_attention");
    for (const std::int64_t layer : conv_.layers) {
      cache.layer_types.at(static_cast<std::size_t>(layer)) =
          recurrent_.shapes.empty() ? "conv" : "linear_attention";
    }
  }

  const ExportPlan& plan_;
  const Component& component_;
  std::string prefix_;
  FixedParts fixed_;
  Part key_, value_, conv_, recurrent_;
};

}  // namespace

GenaiCache genai_cache(const ExportPlan& plan, const Component& component, std::string_view prefix,
                       const FixedParts& fixed) {
  return Reader(plan, component, prefix, fixed).read();
}

}  // namespace onnxport::layout
