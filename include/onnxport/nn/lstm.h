/// Long short-term memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The results of all layers.
struct LstmStates {
  Value output;        ///< [B, L, hidden]: of the last layer
  Value hidden, cell;  ///< [layers, B, hidden]: after the last token
};

/// Layers one after the other, in one direction. Keys of layer i: weight_ih_l{i} [4 * hidden, in],
/// weight_hh_l{i} [4 * hidden, hidden], bias_ih_l{i}, bias_hh_l{i} [4 * hidden]. (torch.nn.LSTM with
/// batch_first)
class ONNXPORT_API Lstm {
 public:
  /// Throws ExportError(bad_config) for less than one layer, or one of no width.
  Lstm(const Scope& s, std::int64_t in, std::int64_t hidden, std::int64_t layers, bool bias = true);
  /// x [B, L, in]; hidden and cell [layers, B, hidden] as an earlier call left them, or both absent.
  LstmStates operator()(Value x, Value hidden = {}, Value cell = {}) const;

 private:
  struct Layer {
    Weight input_weight, hidden_weight, input_bias, hidden_bias;
  };
  std::string path_;
  std::vector<Layer> layers_;
};

}  // namespace onnxport::nn
