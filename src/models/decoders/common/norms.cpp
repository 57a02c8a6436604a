#include "models/decoders/common/norms.h"

#include "onnxport/op.h"

namespace onnxport::models {

MakeNorm rms_norms_without_weight(double eps) {
  return [eps](const Scope& s, std::int64_t) -> nn::Norm {
    return [path = s.path(), eps](Value x) {
      const ModulePath at(x, path);
      return op::rms_norm(x, {}, eps);
    };
  };
}

}  // namespace onnxport::models
