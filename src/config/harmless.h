/// Config keys that never change an inference graph.
#pragma once

#include <string_view>

namespace onnxport::config {

/// Whether the key is harmless for any value in every architecture. `declared_by_class`: the class itself
/// declares the key, so a name from the base class may have another meaning there (`max_length` of a
/// spectrogram).
bool is_harmless(std::string_view key, bool declared_by_class);

/// Whether the key changes only the graphs of definitions that read it. Every configuration may have a
/// `pad_token_id` and `tie_word_embeddings`. Where the class itself does not declare them, few tasks depend
/// on the first, and only models with a head over a vocabulary on the second.
bool matters_only_if_read(std::string_view key, bool declared_by_class);

}  // namespace onnxport::config
