/// Config keys that never change an inference graph.
#pragma once

#include <string_view>

namespace onnxport::config {

/// Whether the key is harmless for any value in every architecture. `declared_by_class`: the class itself
/// declares the key, so a name from the base class may have another meaning there (`max_length` of a
/// spectrogram).
bool is_harmless(std::string_view key, bool declared_by_class);

}  // namespace onnxport::config
