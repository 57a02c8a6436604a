/// Inputs for an .onnx file of any producer, made from its interface alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/inspect.h"
#include "onnxport/tensor.h"

namespace onnxport {

/// Sizes of axes by name: "batch_size", "past_sequence_length", or as a file spells them.
using AxisSizes = std::map<std::string, std::int64_t, std::less<>>;

struct FileInputs {
  NamedTensors tensors;     ///< one for each input that has no initializer
  AxisSizes sizes;          ///< of all symbols in the shapes of the inputs
  std::int64_t tokens = 0;  ///< rows times tokens of a row, if the file takes a sequence of tokens
};

/// Makes inputs that a file takes, whoever produced it. The same arguments give the same values.
///
/// Sizes: `given` counts by the name that the file has for an axis, and by the names of the flags of
/// `export onnx`, which also stand for other spellings ("batch", "past_decoder_sequence_length"). Sums such
/// as "past_sequence_length + sequence_length" are computed. Axes that nothing tells get the defaults of
/// `export onnx`, by the name of the axis, or else of the input.
///
/// Values: masks of ones, positions counted from the past, ids below 100 and below the rows of the tables
/// that they are looked up in, use_cache_branch if there is a past; floats are multiples of 1/64 in [-1, 1),
/// which every float type can represent.
///
/// `like`: inputs of another file. An input of the same name takes its values, if its type permits the shape.
/// Throws ExportError(unsupported) for inputs that are not numbers or booleans.
ONNXPORT_API FileInputs make_file_inputs(const ModelSummary& model, const AxisSizes& given,
                                         const NamedTensors& like = {});

/// The names of all axes of the inputs that are not numbers, without sums, sorted.
ONNXPORT_API std::vector<std::string> axis_names(const ModelSummary& model);

/// The names that sizes have on the command line ("batch_size", …), with their defaults.
ONNXPORT_API const AxisSizes& default_axis_sizes();

}  // namespace onnxport
