#include "handles.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::python {
namespace {

using Origins = std::map<std::string, std::string>;

std::string origin_of(const Origins& origins, std::string_view name) {
  const auto found = origins.find(std::string(name));
  return found == origins.end() ? std::string(name) : found->second;
}

/// A generator for inputs that it knows under other names.
class RenamedGenerator final : public DummyInputGenerator {
 public:
  RenamedGenerator(std::shared_ptr<const DummyInputGenerator> inner, Origins origins)
      : inner_(std::move(inner)), origins_(std::move(origins)) {}

  bool supports_input(std::string_view name) const override {
    return inner_->supports_input(origin_of(origins_, name));
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return inner_->type(origin_of(origins_, name), original(context), shapes);
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    return inner_->generate(origin_of(origins_, name), original(context), shapes, seed);
  }

 private:
  DummyContext original(DummyContext context) const {
    for (TensorSpec& input : context.inputs) input.name = origin_of(origins_, input.name);
    return context;
  }

  std::shared_ptr<const DummyInputGenerator> inner_;
  Origins origins_;
};

/// A configuration with other names, axes and tolerances than the class that it wraps.
class ChangedConfig final : public OnnxConfig {
 public:
  ChangedConfig(std::shared_ptr<const OnnxConfig> inner, ConfigChanges changes)
      : OnnxConfig(inner->config(), inner->task(), inner->options()),
        inner_(std::move(inner)),
        changes_(std::move(changes)) {}

  const OnnxConfig& inner() const { return *inner_; }
  const ConfigChanges& changes() const { return changes_; }

  AxesByName inputs() const override { return changes_.inputs ? *changes_.inputs : inner_->inputs(); }
  AxesByName outputs() const override { return changes_.outputs ? *changes_.outputs : inner_->outputs(); }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    return inner_->axis_length(origin_of(changes_.input_origins, tensor), symbol);
  }
  std::vector<StateSpec> states() const override { return inner_->states(); }
  std::string part() const override { return inner_->part(); }
  NormalizedConfig normalized_config() const override { return inner_->normalized_config(); }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = inner_->dummy_input_generators();
    if (changes_.input_origins.empty()) return generators;
    for (auto& one : generators) one = std::make_shared<RenamedGenerator>(one, changes_.input_origins);
    return generators;
  }
  double atol_for_validation() const override {
    return changes_.atol.value_or(inner_->atol_for_validation());
  }
  int default_onnx_opset() const override { return changes_.opset.value_or(inner_->default_onnx_opset()); }
  std::int64_t padded_position_id() const override { return inner_->padded_position_id(); }
  std::optional<std::int64_t> longest_sequence() const override { return inner_->longest_sequence(); }
  ImageSizes image_sizes() const override { return inner_->image_sizes(); }
  std::vector<std::string> variants() const override { return inner_->variants(); }
  std::vector<PatchingSpec> patching_specs() const override { return inner_->patching_specs(); }
  void apply(const InterfaceOptions& options, AxesByName& inputs, AxesByName& outputs) const override {
    // Lists from Python have what the options add.
    if (!changes_.inputs && !changes_.outputs) inner_->apply(options, inputs, outputs);
  }

 private:
  std::shared_ptr<const OnnxConfig> inner_;
  ConfigChanges changes_;
};

std::vector<std::string> names_of(const AxesByName& axes) {
  std::vector<std::string> names;
  for (const auto& [name, symbols] : axes) names.push_back(name);
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// The original name of each wanted output: its origin, itself, or, if there are as many as before, that at
/// its place.
std::vector<std::string> sources(const std::vector<std::string>& wanted,
                                 const std::vector<std::string>& given, const Origins& origins) {
  std::vector<std::string> from;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::string name = origin_of(origins, wanted[i]);
    if (std::find(given.begin(), given.end(), name) != given.end()) {
      from.push_back(std::move(name));
    } else if (wanted.size() == given.size()) {
      from.push_back(given[i]);
    } else {
      throw ExportError(ErrorCode::unsupported,
                        "output '" + wanted[i] + "': the definition gives " + joined(given) +
                            "; a configuration may leave outputs out, or rename all of them in their order, "
                            "but other outputs would need tracing; see --output-hidden-states and "
                            "--output-attentions");
    }
  }
  return from;
}

}  // namespace

std::shared_ptr<const OnnxConfig> changed(std::shared_ptr<const OnnxConfig> config, ConfigChanges changes) {
  return std::make_shared<ChangedConfig>(std::move(config), std::move(changes));
}

Model model_for(const Model& model, const OnnxConfig& config) {
  const auto* custom = dynamic_cast<const ChangedConfig*>(&config);
  if (custom == nullptr) return model;
  const Origins& renamed_inputs = custom->changes().input_origins;
  if (!custom->changes().outputs && renamed_inputs.empty()) return model;
  AxesByName inputs = custom->inner().inputs(), outputs = custom->inner().outputs();
  custom->inner().apply(config.options().interface_options, inputs, outputs);
  const std::vector<std::string> given = names_of(outputs);
  const std::vector<std::string> wanted =
      custom->changes().outputs ? names_of(*custom->changes().outputs) : given;
  const std::vector<std::string> from = sources(wanted, given, custom->changes().origins);
  if (wanted == given && from == given && renamed_inputs.empty()) return model;
  ModelDefinition definition = model.definition();
  definition.forward = [inner = definition.forward, from, wanted, outputs, renamed_inputs](
                           const Inputs& values, const Model& opened, const Component& component) {
    NamedValues taken;
    for (const auto& [name, value] : values.values())
      taken.emplace_back(origin_of(renamed_inputs, name), value);
    Component original = component;
    for (TensorSpec& input : original.interface.inputs) input.name = origin_of(renamed_inputs, input.name);
    original.interface.outputs.clear();
    for (const auto& [name, axes] : outputs) {
      TensorSpec spec{.name = name};
      for (const auto& [axis, symbol] : axes) spec.axes.emplace(axis, AxisSpec{symbol, Dim::symbol("_")});
      original.interface.outputs.push_back(std::move(spec));
    }
    const NamedValues results = inner(Inputs(std::move(taken)), opened, original);
    NamedValues renamed;
    for (std::size_t i = 0; i < from.size(); ++i) {
      for (const auto& [name, value] : results) {
        if (name == from[i]) renamed.emplace_back(wanted[i], value);
      }
    }
    return renamed;
  };
  return model.part("", std::make_shared<const ModelDefinition>(std::move(definition)), model.task());
}

DummyShapes shapes_from(const nb::dict& sizes) {
  static const std::map<std::string, std::int64_t DummyShapes::*> known = {
      {"batch_size", &DummyShapes::batch_size},
      {"sequence_length", &DummyShapes::sequence_length},
      {"past_sequence_length", &DummyShapes::past_sequence_length},
      {"decoder_sequence_length", &DummyShapes::decoder_sequence_length},
      {"text_batch_size", &DummyShapes::text_batch_size},
      {"num_choices", &DummyShapes::num_choices},
      {"width", &DummyShapes::width},
      {"image_width", &DummyShapes::width},
      {"height", &DummyShapes::height},
      {"image_height", &DummyShapes::height},
      {"num_channels", &DummyShapes::num_channels},
      {"feature_size", &DummyShapes::feature_size},
      {"nb_max_frames", &DummyShapes::nb_max_frames},
      {"audio_sequence_length", &DummyShapes::audio_sequence_length},
      {"point_batch_size", &DummyShapes::point_batch_size},
      {"nb_points_per_image", &DummyShapes::nb_points_per_image},
      {"visual_seq_length", &DummyShapes::visual_seq_length},
  };
  DummyShapes shapes;
  for (const auto& [key, value] : sizes) {
    const auto name = nb::cast<std::string>(key);
    const auto found = known.find(name);
    if (found == known.end()) throw nb::type_error(("unknown size '" + name + "'").c_str());
    const auto size = nb::cast<std::int64_t>(value);
    if (size < (name == "past_sequence_length" ? 0 : 1))
      throw ExportError(ErrorCode::invalid_argument,
                        name + " " + std::to_string(size) + ": expected 1 or more");
    shapes.*(found->second) = size;
    if (name.ends_with("width") || name.ends_with("height")) shapes.any_image_size = true;
  }
  return shapes;
}

InterfaceOptions interface_options_from(const std::vector<std::string>& names) {
  constexpr InterfaceOption all[] = {InterfaceOption::hidden_states,      InterfaceOption::attentions,
                                     InterfaceOption::num_logits_to_keep, InterfaceOption::no_position_ids,
                                     InterfaceOption::pixel_mask,         InterfaceOption::cross_attentions};
  InterfaceOptions options;
  for (const std::string& name : names) {
    const auto* const found = std::find_if(std::begin(all), std::end(all),
                                           [&](InterfaceOption one) { return to_string(one) == name; });
    if (found == std::end(all))
      throw ExportError(ErrorCode::invalid_argument, "unknown option of the interface: '" + name + "'");
    options.insert(*found);
  }
  return options;
}

}  // namespace onnxport::python
