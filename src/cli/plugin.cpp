#include "onnxport/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cli/plugin.h"
#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

static_assert(kVersion == ONNXPORT_VERSION, "onnxport/version.h has another version than CMakeLists.txt");

constexpr PluginAbiText kAbi = plugin_abi();

constexpr std::string_view kRebuild =
    "build it again against the headers of this onnxport, with ONNXPORT_PLUGIN from onnxport/plugin.h";

PythonPlugins& python_plugins() {
  static PythonPlugins load;
  return load;
}

}  // namespace

void set_python_plugins(PythonPlugins load) { python_plugins() = std::move(load); }

void load_plugin(const std::filesystem::path& library) {
  const auto refuse = [&](const std::string& what) {
    return ExportError(ErrorCode::invalid_argument, fmt::format("--plugin {}: {}", library.string(), what));
  };
  if (library.extension() == ".py") {
    if (!python_plugins()) {
      throw refuse(
          "it is written in Python, and this is the program alone; `pip install onnxport` brings one that "
          "reads such plugins");
    }
    return python_plugins()(library);
  }
  const std::string path = library.has_parent_path() ? library.string() : "./" + library.string();
  // The plugin resolves against the program, which exports the API, so it needs no RTLD_GLOBAL. RTLD_LAZY
  // leaves functions unresolved until the version is checked: a missing function would hide a version
  // mismatch.
  void* const handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) {
    const std::string reason = dlerror();
    const bool stale = reason.find("undefined symbol") != std::string::npos;
    throw refuse(stale ? fmt::format("{}; expected version {}; {}", reason, kAbi.data(), kRebuild) : reason);
  }
  using Register = void (*)(TasksManager&);
  const auto entry = reinterpret_cast<Register>(dlsym(handle, "onnxport_register"));
  if (entry == nullptr) {
    throw refuse(
        "it has no function onnxport_register, so it is not a plugin; ONNXPORT_PLUGIN from "
        "onnxport/plugin.h makes it one");
  }
  using Abi = const char* (*)();
  const auto abi = reinterpret_cast<Abi>(dlsym(handle, "onnxport_plugin_abi"));
  if (abi == nullptr)
    throw refuse(fmt::format("it states no version of onnxport, expected {}; {}", kAbi.data(), kRebuild));
  if (const std::string_view built = abi(); built != kAbi.data())
    throw refuse(fmt::format("it was built for {}, expected {}; {}", built, kAbi.data(), kRebuild));
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr)
    throw refuse(fmt::format("{}; {}", dlerror(), kRebuild));
  entry(TasksManager::instance());
}

}  // namespace onnxport::cli
