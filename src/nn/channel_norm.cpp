#include "onnxport/nn/channel_norm.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Value ChannelNorm::operator()(Value image) const {
  const Value last = op::permute(image, {0, 2, 3, 1});
  return op::permute(norm_(last), {0, 3, 1, 2});
}

}  // namespace onnxport::nn
