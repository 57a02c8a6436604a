// The bytes of a fuzzer as a file.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "support/file.h"

namespace onnxport::fuzz {

inline std::shared_ptr<const File> file_of(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  return File::adopt("fuzz.bin", descriptor);
}

}  // namespace onnxport::fuzz
