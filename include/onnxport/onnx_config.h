/// The configuration classes: the inputs, outputs, axes, dummy inputs and tolerances of an exported model.
///
/// There are three levels, as in Optimum: generic bases (OnnxConfig), middle-end classes that know the
/// modality (middle_end.h), and one class per architecture (BertOnnxConfig) in the architecture's own file.
///
/// The classes only describe. Rooms behind `exporter` read the data that interface() and describe() make from
/// them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/interface.h"
#include "onnxport/patching.h"
#include "onnxport/roles.h"
#include "onnxport/tensor.h"

namespace onnxport {

/// Position of an axis -> its symbol. Axes that are not listed are static.
using Axes = std::map<int, std::string>;
/// Names of tensors with their dynamic axes, in the order of the exported file.
using AxesByName = std::vector<std::pair<std::string, Axes>>;

/// The part of an encoder-decoder that a configuration describes.
enum class ConfigBehavior {
  monolith,  ///< the whole model
  encoder,
  decoder,
};

/// How a decoder uses its cache.
enum class UsePast {
  no,
  outputs,             ///< returns it
  inputs_and_outputs,  ///< takes and returns it
};

class OnnxConfig;
struct ExportPlan;
struct PlanRequest;
struct OnnxConfigOptions;
/// Creates a configuration class; set by register_model().
using MakeOnnxConfig = std::shared_ptr<const OnnxConfig> (*)(PretrainedConfig config, std::string task,
                                                             OnnxConfigOptions options);

/// Arguments of an OnnxConfig besides config and task.
struct OnnxConfigOptions {
  std::vector<Preprocessor> preprocessors = {};  ///< load_preprocessors() of the folder
  std::string int_dtype = "int64";               ///< of integer inputs: int64, int32, int8
  std::string float_dtype = "fp32";              ///< fp32, fp16, bf16
  bool legacy = false;
  std::string variant = "default";
  InterfaceOptions interface_options = {};
  std::string part = {};  ///< of a model with several components: the one that the class describes
  // For encoder-decoders; with_behavior() sets them.
  ConfigBehavior behavior = ConfigBehavior::monolith;
  UsePast use_past = UsePast::no;
  MakeOnnxConfig make = nullptr;  ///< set by register_model(): the class itself
};

/// Names, axes, dummy inputs and tolerances of one exported file. Abstract base of all configuration classes.
class ONNXPORT_API OnnxConfig {
 public:
  /// Throws ExportError(invalid_argument) for an unknown dtype.
  explicit OnnxConfig(PretrainedConfig config, std::string task = "feature-extraction",
                      OnnxConfigOptions options = {});
  virtual ~OnnxConfig() = default;

  const PretrainedConfig& config() const { return config_; }
  const std::string& task() const { return task_; }
  const OnnxConfigOptions& options() const { return options_; }
  const std::vector<Preprocessor>& preprocessors() const { return options_.preprocessors; }
  DType int_dtype() const { return int_dtype_; }
  DType float_dtype() const { return float_dtype_; }

  /// Inputs with their dynamic axes, in order.
  virtual AxesByName inputs() const = 0;
  /// Outputs with their dynamic axes, in order; by task, unless overridden. A length after strides may have
  /// the name of the length before them.
  virtual AxesByName outputs() const;
  /// The length of the axis that the list of a tensor's axes calls `symbol`: the symbol itself, unless the
  /// list uses one name for two lengths.
  virtual Dim axis_length(std::string_view tensor, const std::string& symbol) const;
  /// The states that a client passes from one call to the next, in the order of the file. inputs() and
  /// outputs() list the ones that the component takes or returns. Shapes use the symbols of those lists.
  virtual std::vector<StateSpec> states() const { return {}; }
  /// Component::part: the part that this class describes; empty: the whole model.
  virtual std::string part() const { return {}; }
  virtual NormalizedConfig normalized_config() const = 0;
  virtual DummyInputGenerators dummy_input_generators() const = 0;
  /// Largest |difference| relative to max(1, max|reference|) that validation accepts at fp32.
  virtual double atol_for_validation() const { return 1e-5; }
  virtual int default_onnx_opset() const { return 18; }
  /// The position that clients give to a masked token.
  virtual std::int64_t padded_position_id() const { return 1; }
  /// The longest sequence that the tables of positions allow, for validation: the least of
  /// max_position_embeddings, max_target_positions, max_source_positions and n_positions that the normalized
  /// config has.
  virtual std::optional<std::int64_t> longest_sequence() const;
  /// The image sizes that validation may use.
  virtual ImageSizes image_sizes() const { return {}; }
  virtual std::vector<std::string> variants() const { return {"default"}; }
  /// Replacements of modules and ops in the graph of this configuration (PATCHING_SPECS).
  virtual std::vector<PatchingSpec> patching_specs() const { return {}; }
  /// Adds the components of an export, and their merges, to a plan: `model`, unless overridden.
  virtual void describe(ExportPlan& plan, const PlanRequest& request) const;

  /// Changes inputs and outputs as the options ask. Throws ExportError(unsupported) for an option that this
  /// class or its task does not have.
  virtual void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                     AxesByName& outputs) const;

  /// The interface that this configuration describes. `shapes` gives the extents of static axes; with
  /// `dynamic_axes` false, all axes are static.
  Interface interface(const DummyShapes& shapes = {}, bool dynamic_axes = true) const;
  /// The component that this configuration describes. Its file has the same name. The default name is part(),
  /// or `model`.
  Component component(std::string name = {}, const DummyShapes& shapes = {}, bool dynamic_axes = true) const;
  /// One dummy tensor per input. Deterministic in `seed`.
  NamedTensors generate_dummy_inputs(const DummyShapes& shapes = {}, std::uint64_t seed = 0) const;

 protected:
  /// The outputs that architectures share for a task.
  const AxesByName& common_outputs(std::string_view task) const;

 private:
  PretrainedConfig config_;
  std::string task_;
  OnnxConfigOptions options_;
  DType int_dtype_;
  DType float_dtype_;
};

/// A decoder with a cache. For tasks with `-with-past`, the file returns present.{i}.key|value. It also takes
/// past_key_values.{i}.key|value, except in feature extraction (prefill only).
class ONNXPORT_API OnnxConfigWithPast : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  virtual bool use_past() const;
  virtual bool use_past_in_inputs() const;
  /// Keys and values of every layer, from num_layers, num_key_value_heads (absent: num_attention_heads) and
  /// head_dim (absent: hidden_size / num_attention_heads) of the normalized config. Hybrids list the states
  /// of each layer.
  std::vector<StateSpec> states() const override;
  AxesByName outputs() const override;

 protected:
  enum class Direction { inputs, outputs };
  /// Appends the names and axes of the states.
  void add_past_key_values(AxesByName& names, Direction direction) const;
  /// past_key_values.{layer}.key|value -> present.{layer}.key|value: [batch_size, heads,
  /// past_sequence_length, head_dim], which grows by sequence_length. Heads of values may have another size.
  std::vector<StateSpec> key_value(std::int64_t layer, std::int64_t heads, std::int64_t head_dim,
                                   std::optional<std::int64_t> value_dim = {}) const;
  /// The same for the layers 0, 1, …
  std::vector<StateSpec> key_values(std::int64_t layers, std::int64_t heads, std::int64_t head_dim,
                                    std::optional<std::int64_t> value_dim = {}) const;
  /// past_{part}.{layer} -> present_{part}.{layer}: a state of fixed size [batch_size, extents…].
  StateSpec fixed_state(std::int64_t layer, const std::string& part,
                        const std::vector<std::int64_t>& extents) const;
  /// head_dim of the normalized config, or else hidden_size / `heads`. Throws ExportError(bad_config) if
  /// there are no heads.
  std::int64_t head_dim(std::int64_t heads) const;
};

/// An encoder and a decoder. An export has several components: encoder_model, decoder_model and, with a past,
/// decoder_with_past_model and decoder_model_merged. Feature extraction has one component, `model`; so do
/// other tasks without a past on request.
class ONNXPORT_API OnnxSeq2SeqConfigWithPast : public OnnxConfigWithPast {
 public:
  using OnnxConfigWithPast::OnnxConfigWithPast;
  ConfigBehavior behavior() const { return options().behavior; }
  std::string part() const override;  ///< "encoder" or "decoder", by the behavior
  bool use_past() const override { return options().use_past != UsePast::no; }
  bool use_past_in_inputs() const override { return options().use_past == UsePast::inputs_and_outputs; }
  /// The configuration of one part.
  std::shared_ptr<const OnnxSeq2SeqConfigWithPast> with_behavior(ConfigBehavior behavior,
                                                                 bool use_past = false,
                                                                 bool use_past_in_inputs = false) const;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  /// The states of the decoder, from decoder_num_layers, decoder_num_attention_heads and hidden_size of the
  /// normalized config.
  std::vector<StateSpec> states() const override;
  AxesByName outputs() const override;
  /// Whether the decoder takes a mask of the encoder's positions.
  virtual bool has_encoder_mask() const { return true; }
  /// Whether the cache also holds keys and values of the encoder's states. If not, they are recomputed for
  /// each token, and the cache has the names of a standalone decoder: past_key_values.{i}.key|value.
  virtual bool caches_encoder() const { return true; }
  /// Width of the encoder's states: hidden_size of the normalized config.
  virtual std::int64_t encoder_width() const;

 protected:
  /// Turns the states of a standalone decoder into those of an encoder-decoder.
  std::vector<StateSpec> behind_encoder(const std::vector<StateSpec>& alone) const;
  /// Inputs of a decoder file.
  AxesByName decoder_inputs() const;
};

}  // namespace onnxport
