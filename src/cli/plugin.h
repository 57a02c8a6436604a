/// Shared libraries that register more architectures.
#pragma once

#include <filesystem>
#include <functional>

namespace onnxport::cli {

/// Loads the plugins that are written in Python, `my_arch.py`. The program alone cannot.
using PythonPlugins = std::function<void(const std::filesystem::path&)>;
void set_python_plugins(PythonPlugins load);

/// Loads a plugin and lets it register its architectures. Throws ExportError(invalid_argument) if the file
/// does not load, is not a plugin, or was built for another version of onnxport. In these cases only its
/// static initializers have run.
void load_plugin(const std::filesystem::path& library);

}  // namespace onnxport::cli
