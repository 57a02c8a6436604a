/// Running batches on files whose attention kernel takes fewer of them than the definition.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/tensor.h"
#include "runtime/session.h"

namespace onnxport::validate {

/// Runs inputs as the kernels in a file need them. GroupQueryAttention refuses several new tokens after a
/// past in batches of more than one row; if it counts the tokens of a row in attention_mask, they must be at
/// its front (compact.h).
class BatchRunner {
 public:
  /// `session`: of the file.
  BatchRunner(const std::filesystem::path& file, const runtime::Session& session);

  /// The outputs, and what was special: ", row by row". `expected`: the outputs of the definition.
  std::pair<NamedTensors, std::string> operator()(const runtime::Session& session, const NamedTensors& inputs,
                                                  const std::vector<std::string>& outputs,
                                                  const NamedTensors& expected) const;

 private:
  bool has_group_query_ = false;
  bool counts_tokens_ = false;
};

}  // namespace onnxport::validate
