/// Config keys that never change an inference graph.
#pragma once

#include <string_view>

namespace onnxport::config {

/// Whether the key is harmless for any value in every architecture. `declared_by_class`: the class itself
/// declares the key, so a name from the base class may have another meaning there (`max_length` of a
/// spectrogram).
bool is_harmless(std::string_view key, bool declared_by_class);

/// Whether the key changes only the graphs of definitions that read it: every configuration may have a
/// `pad_token_id`, and where the class itself does not declare it, few tasks depend on it.
bool matters_only_if_read(std::string_view key, bool declared_by_class);

}  // namespace onnxport::config
