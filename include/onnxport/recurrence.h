/// Semantic ops that carry a state from token to token, and from call to call.
///
/// A state that is absent counts as zeros, as before the first token. The last state is a result, so that a
/// later call can continue. Each op gives the same for one call with many tokens and for many calls. All but
/// causal_conv() and lstm() take float32 (or float64): the state sums up many tokens.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"

namespace onnxport::op {

struct Recurrence {
  Value output;
  Value state;  ///< after the last token
};

/// Depthwise convolution over the inputs up to each token. x [B, C, L], weight [C, 1, K], bias [C] or absent,
/// past [B, C, W] (the inputs before x, W at least K - 1) or absent -> output [B, C, L]; state [B, C, kept]:
/// the last inputs, with zeros in front where there were fewer. `kept` is at most K.
ONNXPORT_API Recurrence causal_conv(Value x, Value weight, Value bias, Value past, std::int64_t kept);

/// Operands of selective_scan(). H heads of P channels; N elements of state for each channel; the H heads
/// share G groups of inputs and outputs, as in grouped attention.
struct SelectiveScanOperands {
  Value x;          ///< [B, L, H * P]
  Value time_step;  ///< [B, L, H]
  Value decay;      ///< [H] or [H, N]
  Value input;      ///< [B, L, G * N]
  Value output;     ///< [B, L, G * N]
  Value past = {};  ///< [B, H, P, N]
};
/// A selective state space: state = exp(time_step * decay) * state + time_step * x input^T; the output
/// [B, L, H * P] is state * output. (Gu and Dao 2023; with one decay per head, Dao and Gu 2024)
ONNXPORT_API Recurrence selective_scan(const SelectiveScanOperands& operands, std::int64_t groups);

/// Operands of linear_attention(). H heads of values, which share G heads of queries and keys.
struct LinearAttentionOperands {
  Value query;      ///< [B, L, G * D]
  Value key;        ///< [B, L, G * D]
  Value value;      ///< [B, L, H * E]
  Value decay;      ///< [B, L, H] or [B, L, H * D]: the logarithm of what remains of the state
  Value beta = {};  ///< [B, L, H]: with it, the delta rule
  Value past = {};  ///< [B, H, D, E]
};
/// Attention without softmax, as a recurrence: state = exp(decay) * state + key value^T; the output
/// [B, L, H * E] is query * state. The delta rule adds key (beta * (value - key * state))^T instead, with the
/// decayed state. (Katharopoulos et al. 2020; Yang et al. 2024)
ONNXPORT_API Recurrence linear_attention(const LinearAttentionOperands& operands, std::int64_t heads,
                                         std::int64_t key_heads);

/// state = remains * state + x, which is also the output. x and remains [B, L, W], past [B, W] or absent ->
/// output [B, L, W], state [B, W]. (De et al. 2024: RG-LRU)
ONNXPORT_API Recurrence linear_recurrence(Value x, Value remains, Value past);

/// The sums of wkv(), divided by exp(maximum): each [B, W].
struct WkvState {
  Value numerator = {}, denominator = {}, maximum = {};
};
struct Wkv {
  Value output;  ///< [B, L, W]
  WkvState state;
};
/// The mean of all values up to each token, weighted by exp(key). Older weights decay: with every token,
/// exp(decay) of them remains. A token's own weight is exp(bonus + key). key and value [B, L, W], decay and
/// bonus [W]. Without a past, the maximum is the lowest number. (Peng et al. 2023: RWKV 4)
ONNXPORT_API Wkv wkv(Value key, Value value, Value decay, Value bonus, const WkvState& past);

/// Operands of lstm(). Rows of weights and biases: the gates input, forget, cell, output, H each.
struct LstmOperands {
  Value x;                                  ///< [B, L, I]
  Value input_weight, hidden_weight;        ///< [4 * H, I], [4 * H, H]
  Value input_bias = {}, hidden_bias = {};  ///< [4 * H], both or none
  Value past_hidden = {}, past_cell = {};   ///< [B, H], both or none
};
struct Lstm {
  Value output;        ///< [B, L, H]: the hidden state after each token
  Value hidden, cell;  ///< [B, H]: after the last token
};
/// One layer and one direction of a long short-term memory: with the gates of x W^T + hidden U^T + biases,
/// cell = sigmoid(forget) * cell + sigmoid(input) * tanh(candidate), hidden = sigmoid(output) * tanh(cell).
/// Takes every float dtype, and computes half precision in float32. (Hochreiter and Schmidhuber 1997;
/// torch.nn.LSTM)
ONNXPORT_API Lstm lstm(const LstmOperands& operands);

}  // namespace onnxport::op
