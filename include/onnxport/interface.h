/// Interfaces as data: the tensors and states of a component, as in its file.
///
/// Configuration classes (onnx_config.h) describe an interface; every room behind `exporter` reads this data.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/dim.h"
#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"
#include "onnxport/patching.h"

namespace onnxport {

struct DummyInputs;

/// A dynamic axis of a tensor.
struct AxisSpec {
  std::string name;  ///< in the file
  /// Its length in the graph. It differs from the name if a list has one name for two lengths.
  Dim length;
  friend bool operator==(const AxisSpec&, const AxisSpec&) = default;
};

/// An input or an output of a component.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  /// Numbers and symbols, as in the graph. For an output that is not a state, the configuration class knows
  /// only `axes`; the graph infers dtype and shape.
  Shape shape = {};
  std::map<int, AxisSpec> axes = {};  ///< the dynamic ones, by position
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

/// A tensor that a client passes from one call to the next: keys or values, convolution states, recurrent
/// states.
struct StateSpec {
  std::string input;   ///< name of the input; empty if the component does not take it (prefill)
  std::string output;  ///< name of the output; empty if the component does not return it
  DType dtype = DType::f32;
  Shape shape = {};  ///< of the input
  /// The axis along which new tokens are appended; absent for a state of fixed size.
  std::optional<int> growing_axis = {};
  std::string grown = {};  ///< name of the growing axis of the output
  std::int64_t layer = 0;  ///< of the model; some layers may have no state
  std::string part = {};   ///< "key", "value", "encoder.key", "conv", …: its part of the layer
  friend bool operator==(const StateSpec&, const StateSpec&) = default;
};

/// What a client may ask for beyond the interface of a type. The outputs follow all others.
enum class InterfaceOption {
  hidden_states,       ///< outputs hidden_states.{i}: the embeddings, then the result of each layer
  attentions,          ///< outputs attentions.{i}: the weights of each layer's attention
  num_logits_to_keep,  ///< an input: logits of only so many last tokens, or of all for 0
  no_position_ids,     ///< positions are counted from the past instead of given
  pixel_mask,          ///< an input: which pixels of images of different sizes are real
  cross_attentions,    ///< outputs cross_attentions.{i}: the weights of attention to the encoder's states
};
using InterfaceOptions = std::set<InterfaceOption>;
/// As flags call it: "output-hidden-states", "output-attentions", "num-logits-to-keep", "no-position-ids",
/// "with-pixel-mask", "output-cross-attentions".
ONNXPORT_API std::string_view to_string(InterfaceOption option);

/// Whether a component takes any of its states.
ONNXPORT_API bool takes_any(const std::vector<StateSpec>& states);

/// Inputs, outputs and states of one component.
struct ONNXPORT_API Interface {
  std::vector<TensorSpec> inputs, outputs;  ///< in the order of the file, states among them
  std::vector<StateSpec> states = {};       ///< those that the component takes or returns, in their order
  std::shared_ptr<const DummyInputs> dummies = {};  ///< how to make test inputs
  double atol = 1e-5;  ///< largest |difference| relative to max(1, max|reference|) at fp32
  int opset = 18;      ///< the default
  DType float_dtype = DType::f32;

  std::vector<std::string> input_names() const;
  std::vector<std::string> output_names() const;
  /// The input, or null.
  const TensorSpec* find_input(std::string_view name) const;
  bool has_output(std::string_view name) const;
  /// Whether any input has a dynamic axis of this name.
  bool has_axis(std::string_view name) const;
  /// Whether the component takes states.
  bool takes_past() const { return takes_any(states); }
};

/// One graph of an export.
struct ONNXPORT_API Component {
  std::string name;         ///< "model", "encoder_model", "decoder_with_past_model", …
  std::string stem;         ///< of its file
  std::string folder = {};  ///< of its file, below that of the export
  std::string task = {};
  /// For the definition: the part of the model to compute, such as "encoder" or "decoder"; empty: the whole.
  std::string part = {};
  Interface interface = {};
  std::vector<PatchingSpec> patches = {};  ///< applied to its graph when it is built
};

}  // namespace onnxport
