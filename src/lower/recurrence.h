/// Loops over tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lower/emitter.h"

namespace onnxport::lower {

/// A value with its type.
struct Part {
  std::string name;
  TensorType type;
};

struct Loop {
  std::vector<Part> states;
  std::vector<Part> scanned;   ///< of all steps
  std::int64_t axis = 1;       ///< of the scanned parts and of the outputs: the steps
  std::vector<Shape> outputs;  ///< of one step
  /// Takes the states and one step of each scanned part; returns the new states, then the outputs.
  std::function<Names(const Names& states, const Names& step)> step;
};
/// A Scan, or its body alone where there is always one step. Returns the last states, then the outputs of all
/// steps.
Names run(Emitter& e, const Loop& loop);

/// A value in another shape.
Part shaped(Emitter& e, const std::string& name, const TensorType& from, Shape shape);
Part shaped(Emitter& e, const Value& value, Shape shape);
/// The state to start with: the operand, or zeros.
Part start(Emitter& e, const Value& past, const TensorType& type, Shape shape);

inline std::string mul(Emitter& e, const std::string& a, const std::string& b) {
  return e.emit("Mul", {a, b});
}
inline std::string add(Emitter& e, const std::string& a, const std::string& b) {
  return e.emit("Add", {a, b});
}
inline std::string sub(Emitter& e, const std::string& a, const std::string& b) {
  return e.emit("Sub", {a, b});
}

/// The shape of all steps, from that of one.
inline Shape of_all(Shape step, const Dim& length) {
  step.insert(step.begin() + 1, length);
  return step;
}

}  // namespace onnxport::lower
