// A zip archive: any bytes give entries that lie apart inside of the file, whose content is as long as they
// say, or an ExportError. Nothing announced is believed before it is there.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "checkpoint/zip.h"
#include "memory_file.h"
#include "onnxport/error.h"

namespace {

using onnxport::ErrorCode;
using onnxport::ExportError;
using onnxport::ZipArchive;

void require(bool condition) {
  if (!condition) std::abort();
}

/// A file that does not change while it is read gives no error but that it is bad.
template <class Fn>
bool attempt(Fn&& fn) {
  try {
    fn();
    return true;
  } catch (const ExportError& error) {
    require(error.code() == ErrorCode::bad_checkpoint);
    return false;
  }
}

void look_at(const ZipArchive& archive, const ZipArchive::Entry& entry, std::size_t size) {
  require(archive.find(entry.name) == &entry);
  require(entry.header <= entry.end && entry.end <= size);
  require(entry.deflated || entry.size == entry.compressed);
  attempt([&] {
    const std::uint64_t begin = archive.offset_of(entry);
    require(begin > entry.header && begin <= entry.end && entry.compressed <= entry.end - begin);
  });
  std::uint64_t given = 0;
  const bool whole = attempt([&] {
    archive.extract(entry, [&](std::span<const std::byte> piece) {
      require(!piece.empty());
      given += piece.size();
      require(given <= entry.size);
    });
  });
  require(!whole || given == entry.size);
  constexpr std::uint64_t kLimit = 1000;
  std::string content;
  const bool read = attempt([&] { content = archive.read(entry, kLimit); });
  require(read == (whole && entry.size <= kLimit));
  require(!read || content.size() == entry.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = onnxport::fuzz::file_of(data, size);
  attempt([&] {
    const ZipArchive archive(file);
    std::uint64_t claimed = 0;
    const std::string* before = nullptr;
    for (const ZipArchive::Entry& entry : archive.entries()) {
      require(before == nullptr || *before < entry.name);
      before = &entry.name;
      claimed += entry.end - entry.header;
      look_at(archive, entry, size);
    }
    require(claimed <= size);
  });
  return 0;
}
