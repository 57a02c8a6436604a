#include "measure/axes.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <set>
#include <string_view>

#include "measure/value_types.h"
#include "onnxport/dim.h"
#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport {

const AxisSizes& default_axis_sizes() {
  static const AxisSizes sizes = {
      {"batch_size", 2},
      {"sequence_length", 16},
      {"past_sequence_length", 16},
      {"num_choices", 4},
      {"width", 64},
      {"height", 64},
      {"num_channels", 3},
      {"feature_size", 80},
      {"nb_max_frames", 3000},
      {"point_batch_size", 3},
      {"visual_seq_length", 16},
      {"audio_sequence_length", 16000},
      {"nb_points_per_image", 2},
  };
  return sizes;
}

namespace measure {
namespace {

std::optional<std::int64_t> number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The names of sizes that other spellings of an axis mean. The first line that fits counts.
struct Spelling {
  std::initializer_list<std::string_view> parts;
  const char* size;
};
const Spelling kSpellings[] = {
    {{"point_batch"}, "point_batch_size"},
    {{"points"}, "nb_points_per_image"},
    {{"batch"}, "batch_size"},
    {{"past"}, "past_sequence_length"},
    {{"choices"}, "num_choices"},
    {{"channel"}, "num_channels"},
    {{"height"}, "height"},
    {{"width"}, "width"},
    {{"audio", "samples", "waveform"}, "audio_sequence_length"},
    {{"frames"}, "nb_max_frames"},
    {{"feature", "mel"}, "feature_size"},
    {{"visual"}, "visual_seq_length"},
    {{"seq", "length", "token", "text"}, "sequence_length"},
};

/// Names that are no symbols: an axis without a name, and those that exporters number.
bool says_nothing(std::string_view name) {
  return name == "?" || name.starts_with("unk__") || name.find("dynamic_axes") != name.npos ||
         (name.starts_with('s') && is_number(name.substr(1)));
}

}  // namespace

std::vector<ValueSummary> given_inputs(const GraphSummary& graph) {
  std::set<std::string_view> initialized;
  for (const InitializerSummary& one : graph.initializers) initialized.insert(one.name);
  std::vector<ValueSummary> inputs = graph.inputs;
  std::erase_if(inputs, [&](const ValueSummary& input) { return initialized.contains(input.name); });
  return inputs;
}

bool is_past(const ValueSummary& input) {
  return input.shape.size() >= 3 && has_any(text::lower(input.name), {"past", "cache"});
}

namespace {

bool has_node(const GraphSummary& graph, std::string_view op_type) {
  return std::ranges::any_of(graph.nodes, [&](const NodeSummary& node) {
    return node.op_type == op_type || std::ranges::any_of(node.graphs, [&](const SubgraphSummary& inner) {
             return has_node(inner.graph, op_type);
           });
  });
}

/// Samples of sound.
bool is_sound(const ValueSummary& input) {
  return input.type.starts_with("float") && has_any(input.name, {"input_values", "audio", "wave", "speech"});
}

}  // namespace

bool takes_one_row(const ModelSummary& model) {
  return std::ranges::any_of(model.graph.inputs, is_past) && has_node(model.graph, "GroupQueryAttention");
}

Axes::Axes(const ModelSummary& model, const AxisSizes& given)
    : model_(model), given_(given), defaults_(default_axis_sizes()) {
  if (takes_one_row(model)) defaults_["batch_size"] = 1;
  find_sizes_of_contents();
}

/// Sizes that the content of an input decides, whatever its axes are called.
void Axes::find_sizes_of_contents() {
  for (const ValueSummary& input : model_.graph.inputs) {
    if (input.shape.size() < 2) continue;
    const std::string& second = input.shape[1];
    if (is_sound(input) && input.shape.size() == 2 && !number(second) && !given_.contains(second)) {
      sizes_[second] = standard("audio_sequence_length");
    } else if (input.name.starts_with("encoder_") && number(second)) {
      sizes_["encoder_sequence_length"] = *number(second);
    } else if (input.name.ends_with("grid_thw")) {
      patches_ = number(input.shape[0]).value_or(standard("batch_size"));
      for (const std::int64_t extent : kPatchGrid) patches_ *= extent;
    }
  }
}

std::int64_t Axes::past() {
  const ValueSummary* cache = nullptr;  // not of convolutions and recurrences, if there is another one
  for (const ValueSummary& input : model_.graph.inputs) {
    if (!is_past(input)) continue;
    const bool named = input.shape[input.shape.size() - 2].find("past") != std::string::npos;
    if (cache == nullptr || named) cache = &input;
    if (named) break;
  }
  return cache == nullptr ? 0 : shape_of(*cache)[cache->shape.size() - 2];
}

std::int64_t Axes::patch_side() {
  const auto found = std::ranges::find(model_.graph.inputs, "pixel_values", &ValueSummary::name);
  if (found == model_.graph.inputs.end() || found->shape.size() < 2) return 1;
  std::int64_t side = 1;  // even, because neighbours are often merged
  const std::int64_t patches = shape_of(*found)[1];
  while ((side + 1) * (side + 1) <= patches) ++side;
  return side > 1 ? side / 2 * 2 : 1;
}

std::int64_t Axes::standard(const std::string& name) const {
  const auto found = given_.find(name);
  return found != given_.end() ? found->second : defaults_.at(name);
}

std::int64_t Axes::size_of(const std::string& name) {
  if (const auto found = given_.find(name); found != given_.end()) return sizes_[name] = found->second;
  if (const auto found = sizes_.find(name); found != sizes_.end()) return found->second;
  if (const auto fixed = number(name)) return *fixed;
  const std::string lower = text::lower(name);
  std::int64_t size = standard("sequence_length");
  if (lower == "step" || lower == "steps") {
    size = 1;  // one time for the whole batch
  } else if (has_any(lower, {"total", "max_sequence", "max_seq", "past_and_", "kv_seq"})) {
    size = total();
  } else {
    for (const Spelling& one : kSpellings) {
      if (!has_any(lower, one.parts)) continue;
      size = standard(one.size);
      break;
    }
  }
  return sizes_[name] = size;
}

/// The size of an axis that the file does not name, from the name of the input.
std::int64_t Axes::unnamed(const ValueSummary& input, std::size_t axis) {
  const std::string name = text::lower(input.name);
  const std::size_t rank = input.shape.size();
  if (axis == 0) return standard("batch_size");
  if (is_past(input)) return standard(axis + 2 == rank ? "past_sequence_length" : "sequence_length");
  if (has_any(name, {"pixel", "image", "sample"}) && rank >= 4) {
    if (axis + 1 == rank) return standard("width");
    if (axis + 2 == rank) return standard("height");
    if (axis + 3 == rank) return standard("num_channels");
  }
  if (has_any(name, {"input_features", "mel"}))
    return standard(axis + 1 == rank ? "nb_max_frames" : "feature_size");
  if (is_sound(input)) return standard("audio_sequence_length");
  if (name == "attention_mask" || name == "decoder_attention_mask") return total();
  return standard("sequence_length");
}

std::int64_t Axes::evaluate(const std::string& text, const ValueSummary& input, std::size_t axis) {
  if (const auto found = given_.find(text); found != given_.end()) return sizes_[text] = found->second;
  if (says_nothing(text)) {
    if (text == "?") return unnamed(input, axis);
    return sizes_.try_emplace(text, unnamed(input, axis)).first->second;  // one symbol, one size
  }
  try {
    const Dim dim = Dim::parse(text);
    DimBindings values;
    for (const std::string& symbol : dim.symbols()) {
      values[symbol] = says_nothing(symbol) ? evaluate(symbol, input, axis) : size_of(symbol);
    }
    return dim.evaluate(values);
  } catch (const ExportError&) {  // an expression of another language is a name
    return size_of(text);
  }
}

std::vector<std::int64_t> Axes::shape_of(const ValueSummary& input) {
  std::vector<std::int64_t> shape;
  for (std::size_t axis = 0; axis < input.shape.size(); ++axis) {
    const std::string& text = input.shape[axis];
    const auto fixed = number(text);
    const bool patches = patches_ > 0 && axis == 0 && input.shape.size() == 2 &&
                         input.name.starts_with("pixel_values") && !given_.contains(text);
    if (fixed) {
      shape.push_back(*fixed);
    } else if (patches) {
      shape.push_back(sizes_[text] = patches_);
    } else {
      shape.push_back(evaluate(text, input, axis));
    }
  }
  return shape;
}

}  // namespace measure
}  // namespace onnxport
