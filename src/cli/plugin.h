/// Shared libraries that register further architectures.
#pragma once

#include <filesystem>

namespace onnxport::cli {

/// Loads a plugin and lets it register its architectures. Throws ExportError(invalid_argument) when it does
/// not load, is no plugin, or was built against another version of onnxport; nothing of it but its static
/// initialization has run then.
void load_plugin(const std::filesystem::path& library);

}  // namespace onnxport::cli
