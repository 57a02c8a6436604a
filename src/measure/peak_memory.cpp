#include "measure/peak_memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

namespace onnxport::measure {

void reset_peak_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // 5: reset the peak of the resident set (proc(5))
}

std::uint64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  constexpr std::uint64_t kKilo = 1024;
  for (std::string key; status >> key;) {
    std::uint64_t kilobytes = 0;
    if (key == "VmHWM:" && status >> kilobytes) return kilobytes * kKilo;
  }
  return 0;
}

}  // namespace onnxport::measure
