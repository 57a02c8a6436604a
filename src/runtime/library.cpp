#include "runtime/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <vector>

#include "runtime/library_path.h"

namespace onnxport::runtime {
namespace {

namespace fs = std::filesystem;

/// Files of a folder that may be ONNX Runtime, best first: the plain name, then versioned ones.
std::vector<fs::path> candidates_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Opens the first library of the documented search order.
void* open_library() {
  std::vector<fs::path> paths;
  std::vector<std::string> looked_in;
  const auto add_folder = [&](const fs::path& folder) {
    looked_in.push_back(folder.string());
    std::ranges::move(candidates_in(folder), std::back_inserter(paths));
  };
  if (const char* root = std::getenv("ONNXRUNTIME_ROOT"); root != nullptr && *root != '\0') {
    add_folder(fs::path(root) / "lib");
  }
  if (const fs::path& found = library_path(); !found.empty()) {
    looked_in.push_back(found.string());
    paths.push_back(found);
  }
  std::error_code ec;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", ec); !ec) {
    add_folder(program.parent_path());
    add_folder(program.parent_path().parent_path() / "lib");
    add_folder(program.parent_path().parent_path() / "lib" / "onnxport" / "onnxruntime");
  }
#ifdef ONNXPORT_DEFAULT_ORT_LIBRARY
  looked_in.emplace_back(ONNXPORT_DEFAULT_ORT_LIBRARY);
  if (fs::exists(ONNXPORT_DEFAULT_ORT_LIBRARY, ec)) paths.emplace_back(ONNXPORT_DEFAULT_ORT_LIBRARY);
#endif
  looked_in.emplace_back("the system's search path");
  paths.insert(paths.end(), {"libonnxruntime.so", "libonnxruntime.so.1"});

  std::string refused;  // a library that is there but does not load is worth telling about
  for (const fs::path& path : paths) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    if (path.has_parent_path()) refused += fmt::format("; {}", dlerror());
  }
  fail(fmt::format(
      "onnx runtime was not found: looked in {}{}; install it or set ONNXRUNTIME_ROOT to the folder that "
      "holds lib/libonnxruntime.so",
      fmt::join(looked_in, ", "), refused));
}

}  // namespace

void Library::check(OrtStatus* status, std::string_view what) const {
  if (status == nullptr) return;
  std::string words = api->GetErrorMessage(status);
  api->ReleaseStatus(status);
  std::ranges::replace(words, '\n', ' ');
  fail(fmt::format("{}: onnx runtime {}: {}", what, version, words));
}

Library::Library() {
  void* handle = open_library();
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) fail("onnx runtime: the library found lacks OrtGetApiBase");
  version = get_base()->GetVersionString();
  // The table only grows, so an older library works too. Everything used here exists since 1.4.
  const auto minor = static_cast<std::uint32_t>(std::atoi(version.substr(version.find('.') + 1).c_str()));
  api = get_base()->GetApi(std::min<std::uint32_t>(minor, ORT_API_VERSION));
  if (api == nullptr) fail(fmt::format("onnx runtime {} does not offer its C API", version));
  check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "onnxport", &env), "starting");
  check(api->DisableTelemetryEvents(env), "starting");
  check(api->GetAllocatorWithDefaultOptions(&allocator), "starting");
}

}  // namespace onnxport::runtime
