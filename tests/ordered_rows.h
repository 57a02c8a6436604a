/// Types whose rows cannot be compared one by one in half precision or with quantized weights.
#pragma once

#include <set>
#include <string>

#include "onnxport/validate.h"

namespace onnxport::test {

/// Whether the fixture's type ranks what it finds by scores, or masks its queries by the sign of scores, and
/// the report differs only in values. With random weights, rounding then changes which row is which. In
/// float32 the golden tests compare all rows.
inline bool orders_its_rows(const std::string& fixture, const ValidationReport& report) {
  const std::set<std::string> types = {"d_fine",    "grounding-dino", "mm-grounding-dino",
                                       "oneformer", "rt_detr",        "rt_detr_v2"};
  if (!types.contains(fixture.substr(0, fixture.find('/')))) return false;
  for (const ValidationCase& one : report.cases) {
    for (const OutputComparison& output : one.outputs)
      if (output.shape != output.reference_shape || output.non_finite != output.reference_non_finite)
        return false;
  }
  return true;
}

}  // namespace onnxport::test
