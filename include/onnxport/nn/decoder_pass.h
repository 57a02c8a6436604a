/// One forward pass of a decoder: what its layers share, and the cache they append to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/op.h"

namespace onnxport::nn {

/// Keys and values of one layer: [B, kv_heads, length, head_dim]. Absent ones are empty.
struct KeyValue {
  Value key, value;
};

/// Which keys a query may see.
struct Visibility {
  std::optional<std::int64_t> window = {};  ///< sliding window: the last so many positions, its own included
  bool both_ways = false;                   ///< the positions after it too (a window then reaches both ways)
};

/// What a decoder's inputs are called.
struct DecoderInputNames {
  std::string input_ids = "input_ids";
  std::string attention_mask = "attention_mask";  ///< empty: the decoder takes none, all its tokens are real
  std::string past = "past_key_values.{}.";       ///< {}: the layer
};

/// Reads the inputs that all decoders have: input_ids [B, S], attention_mask [B, P + S], and maybe
/// position_ids [B, S] and past_key_values.{i}.key|value [B, kv_heads, P, head_dim]. Without a past P is 0.
class ONNXPORT_API DecoderPass {
 public:
  explicit DecoderPass(const Inputs& inputs, DecoderInputNames names = {});

  Graph& graph() const { return input_ids().graph(); }
  Value input_ids() const { return inputs_[names_.input_ids]; }
  /// [B, P + S], or absent
  Value attention_mask() const {
    return names_.attention_mask.empty() ? Value() : inputs_[names_.attention_mask];
  }
  Dim length() const { return input_ids().dim(1); }
  bool has_past() const { return static_cast<bool>(past(0).key); }
  Dim past_length() const { return past_length_; }
  Dim total_length() const { return past_length_ + length(); }

  /// The input position_ids, or P, P + 1, … in every row [B, S] where the model takes none.
  Value position_ids() const;
  bool has_position_ids() const { return inputs_.has("position_ids"); }

  /// The keys that a query sees: real ones, by their order.
  op::AttentionMask mask(const Visibility& visible = {}, op::NoKeys no_keys = op::NoKeys::zero) const;
  /// float [S, P + S]: 0 for the keys up to a query's own, `hidden` for those behind it. For originals that
  /// add several masks to the scores.
  Value causal_bias(double hidden) const;

  /// The cache of a layer as it was given; empty without a past.
  KeyValue past(std::int64_t layer) const;
  /// The cache of the next layer as it will be given back. Layers call it in their order.
  void keep(KeyValue present) { presents_.push_back(present); }
  /// The cache kept last loses all but its newest `count` positions. Only a prefill does so: where a past is
  /// given, its length is the same in all layers.
  void crop_last(std::int64_t count);
  const std::vector<KeyValue>& presents() const { return presents_; }

 private:
  Inputs inputs_;
  DecoderInputNames names_;
  Dim past_length_ = 0;
  std::vector<KeyValue> presents_;
};

}  // namespace onnxport::nn
