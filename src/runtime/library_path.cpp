#include "runtime/library_path.h"

#include <utility>

namespace onnxport::runtime {
namespace {

std::filesystem::path& path() {
  static std::filesystem::path library;
  return library;
}

}  // namespace

void set_library(std::filesystem::path library) { path() = std::move(library); }

const std::filesystem::path& library_path() { return path(); }

}  // namespace onnxport::runtime
