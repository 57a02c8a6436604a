#include "support/descriptor.h"

#include <algorithm>
#include <cerrno>

namespace onnxport {

std::size_t write_at(int descriptor, std::uint64_t offset, std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t piece = std::min(bytes.size() - done, kPieceSize);
    const ssize_t written =
        ::pwrite(descriptor, bytes.data() + done, piece, static_cast<off_t>(offset + done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  return done;
}

}  // namespace onnxport
