/// One forward pass of a decoder: what its layers share, and the states that they take and leave.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/interface.h"
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
};

/// Reads the inputs that all decoders have: input_ids [B, S] or inputs_embeds [B, S, H], attention_mask
/// [B, P + S], and maybe position_ids [B, S]; and the states of the interface, such as keys and values
/// [B, kv_heads, P, head_dim]. Without a past P is 0.
class ONNXPORT_API DecoderPass {
 public:
  /// `states`: those of the component.
  DecoderPass(const Inputs& inputs, std::vector<StateSpec> states, DecoderInputNames names = {});
  /// With the states of the interface, and its outputs that a layer may give.
  static DecoderPass of_interface(const Inputs& inputs, const Interface& interface);

  Graph& graph() const { return tokens().graph(); }
  Value input_ids() const { return inputs_[names_.input_ids]; }
  /// The tokens as vectors [B, S, H]: the input inputs_embeds where there is one, else what `embed` makes of
  /// input_ids. Gives the output inputs_embeds.
  Value embedded(const std::function<Value(Value input_ids)>& embed);
  /// [B, P + S], or absent
  Value attention_mask() const {
    return names_.attention_mask.empty() ? Value() : inputs_[names_.attention_mask];
  }
  Dim length() const { return tokens().dim(1); }
  /// x [B, S, …] with zeros where a new token is padding, for layers that would otherwise mix it into others.
  Value zero_padding(Value x) const;
  /// Whether the component takes states.
  bool has_past() const { return has_past_; }
  Dim past_length() const { return past_length_; }
  Dim total_length() const { return past_length_ + length(); }

  /// The input position_ids, or P, P + 1, … in every row [B, S] where the model takes none.
  Value position_ids() const;
  bool has_position_ids() const { return inputs_.has("position_ids"); }
  /// Positions that count the real tokens of attention_mask, as clients make them, but -1 for padding: [B,
  /// S].
  Value counted_positions() const;

  /// The keys that a query sees: real ones, by their order; or those of the input visible_keys, bool [S, P +
  /// S], which a model around the decoder gives.
  op::AttentionMask mask(const Visibility& visible = {}, op::NoKeys no_keys = op::NoKeys::zero) const;
  /// float [S, P + S]: 0 for the keys up to a query's own, `hidden` for those behind it. For originals that
  /// add several masks to the scores.
  Value causal_bias(double hidden) const;

  /// A state as it was given, or absent: where the component takes no states, and for a layer without one.
  Value past(std::int64_t layer, std::string_view part) const;
  /// A state as it will be given back. It is forgotten where the interface does not list it.
  void keep(std::int64_t layer, std::string_view part, Value present);
  /// The same of the parts `key` and `value` of a layer, or of those of the encoder: `encoder.key`, ….
  KeyValue past(std::int64_t layer) const { return {past(layer, "key"), past(layer, "value")}; }
  void keep(std::int64_t layer, const KeyValue& present);
  /// The keys and values of a layer lose all but their newest `count` positions. Only a prefill does so:
  /// where a past is given, its length is the same in all layers.
  void crop(std::int64_t layer, std::int64_t count);
  /// The outputs of the interface that layers may give: hidden_states.{i}, attentions.{i},
  /// cross_attentions.{i}.
  void want_outputs_of(const Interface& interface);
  /// Whether the interface lists an output beside the states, such as hidden_states.0.
  bool wants(std::string_view output) const;
  /// A value for such an output. It is forgotten where the interface does not list it.
  void give(const std::string& output, Value value);
  /// Adds the wanted outputs. Throws ExportError(unsupported) for one that no layer has given.
  void add_given(NamedValues& outputs) const;
  /// Adds the states that the component gives back to its outputs. Throws ExportError(internal) for one that
  /// no layer has kept.
  void add_presents(NamedValues& outputs) const;

 private:
  /// input_ids or inputs_embeds
  Value tokens() const;

  Inputs inputs_;
  std::vector<StateSpec> states_;
  DecoderInputNames names_;
  bool has_past_ = false;
  Dim past_length_ = 0;
  std::map<std::pair<std::int64_t, std::string>, Value> presents_;
  std::vector<std::string> wanted_;
  std::map<std::string, Value, std::less<>> given_;
};

}  // namespace onnxport::nn
