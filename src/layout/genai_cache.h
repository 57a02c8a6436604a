/// The cache of a decoder, as onnxruntime-genai describes it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Keys and values of the layers, [batch, heads, length, head_size]. Names are patterns with %d for the
/// layer.
struct GenaiCache {
  std::string past_key, past_value;        ///< inputs
  std::string present_key, present_value;  ///< outputs
  std::int64_t layers = 0;
  std::int64_t heads = 0;      ///< of the first layer; the client reads those of the others from the file
  std::int64_t head_size = 0;  ///< the same
  /// Inputs of convolutions, [batch, channels, conv_size], in layers without keys and values.
  std::string past_conv, present_conv;
  std::int64_t conv_size = 0;
  /// States of a delta rule, [batch, heads, key size, value size], in the same layers.
  std::string past_recurrent, present_recurrent;
  /// Of all layers: "conv", "linear_attention" or "full_attention"; empty if all have keys and values.
  std::vector<std::string> layer_types = {};
};

/// "conv", for inputs of convolutions, and "recurrent", for states of a delta rule; the rest is empty.
using FixedParts = std::array<std::string_view, 2>;

/// The keys and values in the states of a component, whose parts begin with `prefix` ("" or "encoder."). A
/// pattern is empty if the component does not take or return them. Throws ExportError(unsupported) for states
/// that the client cannot hold: of another part or dtype, keys and values of different sizes, fixed lengths.
/// `fixed`: the parts of states of fixed size that it can hold for this type.
GenaiCache genai_cache(const ExportPlan& plan, const Component& component, std::string_view prefix,
                       const FixedParts& fixed = {});

}  // namespace onnxport::layout
