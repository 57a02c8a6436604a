/// Config keys that never change the graph of an inference.
#pragma once

#include <string_view>

namespace onnxport::config {

/// Is the key harmless whatever its value, in every architecture? `declared_by_class`: the class itself
/// declares the key, so that a name of the base class may mean something else there (`max_length` of a
/// spectrogram).
bool is_harmless(std::string_view key, bool declared_by_class);

}  // namespace onnxport::config
