// model.safetensors.index.json: any bytes give plain file names, or an ExportError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/shards.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  try {
    const auto map = safetensors::parse_index({reinterpret_cast<const char*>(data), size}, "fuzz.index.json");
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (i > 0 && map[i - 1].first >= map[i].first) std::abort();
      if (map[i].second.empty() || map[i].second == ".." || map[i].second.find('/') != std::string::npos) {
        std::abort();
      }
    }
  } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): what bad bytes shall give
  }
  return 0;
}
