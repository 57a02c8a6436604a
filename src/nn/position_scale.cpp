#include "onnxport/nn/position_scale.h"

#include <fmt/format.h>

#include <utility>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

Value scaled_by_position(Value x, Value positions, const PositionScale& scale) {
  if (scale.length < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("queries grow every {} positions, expected at least 1", scale.length));
  }
  const Value floors = op::cast(op::div(positions, static_cast<double>(scale.length)), DType::f32);
  const Value factor = op::add(op::mul(op::log(op::add(floors, 1.0)), scale.beta), 1.0);
  const Value wide = op::cast(x, DType::f32);
  return op::cast(op::mul(wide, op::unsqueeze(factor, -1)), x.dtype());
}

Projection queries_scaled_by_position(Projection projection, const PositionScale& scale) {
  return [projection = std::move(projection), scale](Value x, const DecoderPass& pass) {
    QueryKeyValue now = projection(x, pass);
    now.query = scaled_by_position(now.query, pass.position_ids(), scale);
    return now;
  };
}

}  // namespace onnxport::nn
