/// Interfaces of the components of a diffusion pipeline.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// The values of an input.
enum class ComponentValues : std::uint8_t {
  numbers,  ///< floats
  places,   ///< small integers
  grid,     ///< int64: frames, rows and columns of each packed image; there is one
  mask,     ///< int64: 1 for real tokens, which come first in each row, and 0 after them
};

/// An input of a component. Its symbols are the names of its dynamic axes: batch_size, sequence_length, the
/// extents of an image (sample_height, sample_width) or of its latents (height, width, latent_height,
/// latent_width, packed_height_width), num_images; and `step`, which is the batch.
struct ComponentInput {
  std::string name;
  Shape shape;
  ComponentValues values = ComponentValues::numbers;
};

/// Optimum's name for the batch of an input that may also have one row.
inline constexpr const char* kStepAxis = "step";

/// A component whose inputs are listed.
class ComponentOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  virtual std::vector<ComponentInput> tensors() const = 0;
  AxesByName inputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override;
  double atol_for_validation() const override { return 3e-4; }
};

/// A transformer of latents. Its result has the axes of its first input, the latents.
class LatentTransformerOnnxConfig : public ComponentOnnxConfig {
 public:
  using ComponentOnnxConfig::ComponentOnnxConfig;
  AxesByName outputs() const override { return {{"out_hidden_states", inputs().front().second}}; }
};

/// Throws ExportError(bad_config) unless this value is num_attention_heads * attention_head_dim, which is
/// `width`.
void check_width_of_heads(const PretrainedConfig& c, const char* key, std::int64_t width);

/// Throws ExportError(unsupported) if one of these flags is set.
void check_unset(const PretrainedConfig& c, const std::vector<const char*>& flags);

/// A component that a class of diffusers computes, or several that are the same, without its interface and
/// its graphs. `defaults`: all arguments of the class with their defaults, as JSON, which are registered.
ModelDefinition component_definition(const char* name, const std::vector<std::string>& classes,
                                     const char* defaults);

/// Registers a component. See component_definition().
template <class Config>
void register_component(TasksManager& tasks, const char* name, const std::vector<std::string>& classes,
                        const char* defaults, const Forward& forward) {
  ModelDefinition definition = component_definition(name, classes, defaults);
  definition.forward = forward;
  tasks.register_model<Config>(std::move(definition));
}

}  // namespace onnxport::models
