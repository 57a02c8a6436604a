/// Parts of a mixture of experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/weight_coded.h"
#include "lower/emitter.h"

namespace onnxport::lower {

/// The weights of one projection [E, N, K], of which a step gets those of one expert: a matrix, or codes,
/// scales and perhaps zero points.
struct ExpertMatrix {
  std::shared_ptr<const Codes> codes;  ///< null: floats
  std::int64_t rows, columns;
  std::size_t first, count;              ///< of the tensors of a step
  std::optional<std::size_t> bias = {};  ///< the place of its bias among them

  const BlockCodes& blocks() const { return *codes_of_kind<BlockCodes>(codes); }
};

/// Shared by all steps.
struct Mixture {
  explicit Mixture(const Node& n)
      : node(n),
        type(n.outputs[0]),
        inner(*n.inputs[4].shape()[2].constant()),
        has_up(n.inputs[3]),
        has_gate(has_up || n.inputs[2].shape()[1] != n.inputs[4].shape()[2]) {}
  const Node& node;
  const TensorType& type;
  std::int64_t inner;
  bool has_up;
  bool has_gate;  ///< else `gate` is the only projection in front of the activation
  std::vector<ExpertMatrix> matrices;

  bool is_coded() const {
    for (const ExpertMatrix& one : matrices) {
      if (one.codes) return true;
    }
    return false;
  }
};

/// `total` [N, 1, D] plus the results of the expert with these weights for `tokens` [N, D], each times its
/// number in `routing` [N]. Rows where that is 0 stay.
std::string add_expert(Emitter& e, const Mixture& m, const std::string& total, const std::string& tokens,
                       const std::string& routing, const Names& weights);

}  // namespace onnxport::lower
