#include "checkpoint/zip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "support/fail.h"
#include "support/printable.h"

namespace onnxport {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;
constexpr std::uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kEnd = 0x06054b50,
                        kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::size_t kLocalHeaderBytes = 30, kDirectoryEntryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                      kLocator64Bytes = 20;
constexpr std::uint64_t kLongestComment = 0xffff;
constexpr std::uint32_t kIn64 = 0xffffffff;  // "see the zip64 field"
// A deflated byte expands to at most 1032 bytes (RFC 1951: 258 bytes per match of two bits).
constexpr std::uint64_t kLargestRatio = 1032;
constexpr std::size_t kPiece = std::size_t{1} << 18;

/// Unsigned little-endian numbers in a text. The caller ensures that it is long enough.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}
std::uint16_t u16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(number(bytes, at, 2));
}
std::uint32_t u32(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(number(bytes, at, 4));
}
std::uint64_t u64(std::string_view bytes, std::size_t at) { return number(bytes, at, 8); }

std::string bytes_of(const File& file, std::uint64_t offset, std::uint64_t size) {
  std::string bytes(size, '\0');
  file.read(offset, size, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

struct Directory {
  std::uint64_t offset = 0, size = 0, count = 0;
};

/// The position of the directory, from the record at the end of the file.
Directory find_directory(const File& file) {
  const std::uint64_t tail_size = std::min(file.size(), kEndBytes + kLongestComment);
  const std::uint64_t tail_begin = file.size() - tail_size;
  const std::string tail = bytes_of(file, tail_begin, tail_size);
  std::optional<std::size_t> found;
  for (std::size_t at = tail.size() < kEndBytes ? 0 : tail.size() - kEndBytes + 1; at-- > 0;) {
    if (u32(tail, at) == kEnd && at + kEndBytes + u16(tail, at + 20) == tail.size()) {
      found = at;
      break;
    }
  }
  if (!found) {
    fail(kBad, "{} is truncated: its {} bytes end without the directory of a zip file; download it again",
         file.name(), file.size());
  }
  const std::string_view end = std::string_view(tail).substr(*found);
  Directory directory{.offset = u32(end, 16), .size = u32(end, 12), .count = u16(end, 10)};
  std::uint64_t limit = tail_begin + *found;
  bool one_disk = u16(end, 4) == 0 && u16(end, 6) == 0 && u16(end, 8) == u16(end, 10);
  if (limit >= kLocator64Bytes) {
    const std::string locator = bytes_of(file, limit - kLocator64Bytes, kLocator64Bytes);
    if (u32(locator, 0) == kLocator64) {
      const std::uint64_t at = u64(locator, 8);
      const std::uint64_t room = limit - kLocator64Bytes;
      if (at > room || room - at < kEnd64Bytes) {
        fail(kBad, "{} has its zip64 directory record at byte {}, expected at most {}; download it again",
             file.name(), at, room < kEnd64Bytes ? 0 : room - kEnd64Bytes);
      }
      const std::string end64 = bytes_of(file, at, kEnd64Bytes);
      if (u32(end64, 0) != kEnd64) {
        fail(kBad, "{} has no zip64 directory record at byte {}; download it again", file.name(), at);
      }
      directory = {.offset = u64(end64, 48), .size = u64(end64, 40), .count = u64(end64, 32)};
      one_disk = u32(end64, 16) == 0 && u32(end64, 20) == 0 && u64(end64, 24) == u64(end64, 32);
      limit = at;
    }
  }
  if (!one_disk) fail(kBad, "{} is one part of a zip archive in several files, expected one", file.name());
  if (directory.offset > limit || directory.size > limit - directory.offset) {
    fail(kBad, "{} has its directory in [{}, {} + {}), expected before byte {}; download it again",
         file.name(), directory.offset, directory.offset, directory.size, limit);
  }
  if (directory.size > ZipArchive::kMaxDirectory) {
    fail(kBad, "{} has a directory of {} bytes, expected at most {}", file.name(), directory.size,
         ZipArchive::kMaxDirectory);
  }
  if (directory.count > directory.size / kDirectoryEntryBytes) {
    fail(kBad, "{} announces {} entries in a directory of {} bytes, expected at most {}", file.name(),
         directory.count, directory.size, directory.size / kDirectoryEntryBytes);
  }
  return directory;
}

/// Replaces the numbers that refer to the zip64 field by its values.
void read_zip64(std::string_view extra, ZipArchive::Entry& entry, const std::string& file) {
  std::vector<std::uint64_t*> elsewhere;
  for (std::uint64_t* value : {&entry.size, &entry.compressed, &entry.header}) {
    if (*value == kIn64) elsewhere.push_back(value);
  }
  std::size_t found = 0;
  while (extra.size() >= 4) {
    const std::size_t size = u16(extra, 2);
    if (size > extra.size() - 4) break;
    if (u16(extra, 0) == 1) {
      const std::string_view field = extra.substr(4, size);
      for (; found < elsewhere.size() && field.size() / 8 > found; ++found) {
        *elsewhere[found] = u64(field, 8 * found);
      }
      break;
    }
    extra.remove_prefix(4 + size);
  }
  if (found < elsewhere.size()) {
    fail(kBad, "entry '{}' of {} has no zip64 field, but its size or offset needs one", printable(entry.name),
         file);
  }
}

/// Reads the entry at `at` and moves `at` to the next one.
ZipArchive::Entry parse_entry(std::string_view directory, std::size_t& at, const std::string& file) {
  const std::string_view rest = directory.substr(at);
  const auto fail_cut = [&] {
    fail(kBad, "the directory of {} is damaged at its byte {}; download it again", file, at);
  };
  if (rest.size() < kDirectoryEntryBytes || u32(rest, 0) != kDirectoryEntry) fail_cut();
  const std::size_t name = u16(rest, 28), extra = u16(rest, 30), comment = u16(rest, 32);
  if (rest.size() - kDirectoryEntryBytes < name + extra + comment) fail_cut();
  ZipArchive::Entry entry{.name = std::string(rest.substr(kDirectoryEntryBytes, name)),
                          .header = u32(rest, 42),
                          .compressed = u32(rest, 20),
                          .size = u32(rest, 24),
                          .crc = u32(rest, 16)};
  read_zip64(rest.substr(kDirectoryEntryBytes + name, extra), entry, file);
  if ((u16(rest, 8) & 1U) != 0) {
    fail(kBad, "entry '{}' of {} is encrypted, expected no encryption", printable(entry.name), file);
  }
  const std::uint16_t method = u16(rest, 10);
  if (method != 0 && method != Z_DEFLATED) {
    fail(kBad, "entry '{}' of {} is compressed by method {}, expected 0 (stored) or 8 (deflated)",
         printable(entry.name), file, method);
  }
  entry.deflated = method != 0;
  if (!entry.deflated && entry.size != entry.compressed) {
    fail(kBad, "stored entry '{}' of {} has {} bytes in the file, expected its size {}",
         printable(entry.name), file, entry.compressed, entry.size);
  }
  if (entry.deflated && entry.size / kLargestRatio > entry.compressed) {
    fail(kBad, "entry '{}' of {} claims {} bytes of content, expected at most {} from {} deflated ones",
         printable(entry.name), file, entry.size, kLargestRatio * entry.compressed, entry.compressed);
  }
  at += kDirectoryEntryBytes + name + extra + comment;
  return entry;
}

/// Checks that no entries overlap, and sets their ends.
void check_layout(std::vector<ZipArchive::Entry>& entries, std::uint64_t directory, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.header < b.header; });
  for (std::size_t i = 0; i < entries.size(); ++i) {
    ZipArchive::Entry& entry = entries[i];
    const bool last = i + 1 == entries.size();
    entry.end = last ? directory : entries[i + 1].header;
    const std::uint64_t head = kLocalHeaderBytes + entry.name.size();
    const std::uint64_t room = entry.end < entry.header ? 0 : entry.end - entry.header;
    if (room >= head && room - head >= entry.compressed) continue;
    fail(kBad, "entry '{}' of {} at byte {} has {} bytes, but {} begins at byte {}; download it again",
         printable(entry.name), file, entry.header, entry.compressed,
         last ? "the directory" : "'" + printable(entries[i + 1].name) + "'", entry.end);
  }
}

/// A zlib stream of raw deflate data that frees itself.
class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

ZipArchive::ZipArchive(std::shared_ptr<const File> file) : file_(std::move(file)) {
  const std::string name = file_->name();
  const Directory directory = find_directory(*file_);
  const std::string bytes = bytes_of(*file_, directory.offset, directory.size);
  entries_.reserve(directory.count);
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < directory.count; ++i) entries_.push_back(parse_entry(bytes, at, name));
  if (at != bytes.size()) {
    fail(kBad, "the directory of {} has {} bytes, expected {} for its {} entries", name, bytes.size(), at,
         directory.count);
  }
  check_layout(entries_, directory.offset, name);
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(),
                                        [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != entries_.end()) fail(kBad, "{} has entry '{}' twice", name, printable(twice->name));
}

const ZipArchive::Entry* ZipArchive::find(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

std::uint64_t ZipArchive::offset_of(const Entry& entry) const {
  const std::string head = bytes_of(*file_, entry.header, kLocalHeaderBytes + entry.name.size());
  if (u32(head, 0) != kLocalHeader || u16(head, 26) != entry.name.size() ||
      head.compare(kLocalHeaderBytes, std::string::npos, entry.name) != 0) {
    fail(kBad, "{} has no header for entry '{}' at byte {}, where its directory places it; download it again",
         file_->name(), printable(entry.name), entry.header);
  }
  const std::uint64_t begin = entry.header + head.size() + u16(head, 28);
  if (begin > entry.end || entry.compressed > entry.end - begin) {
    fail(kBad, "entry '{}' of {} ends at byte {}, expected at most {}; download it again",
         printable(entry.name), file_->name(), begin + entry.compressed, entry.end);
  }
  return begin;
}

void ZipArchive::extract(const Entry& entry,
                         const std::function<void(std::span<const std::byte>)>& take) const {
  const std::uint64_t begin = offset_of(entry);
  std::uint64_t size = 0;
  uLong crc = crc32(0, nullptr, 0);
  const auto give = [&](const std::byte* bytes, std::size_t count) {
    size += count;
    if (size > entry.size) return;  // told below
    crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes), static_cast<uInt>(count));
    if (count > 0) take({bytes, count});
  };

  std::vector<std::byte> in(std::min<std::uint64_t>(kPiece, entry.compressed));
  std::vector<std::byte> out(entry.deflated ? kPiece : 0);
  Inflater inflater;
  z_stream& stream = inflater.stream();
  int state = Z_OK;
  for (std::uint64_t done = 0; done < entry.compressed && state == Z_OK && size <= entry.size;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), entry.compressed - done));
    file_->read(begin + done, count, in.data());
    done += count;
    if (!entry.deflated) {
      give(in.data(), count);
      continue;
    }
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(count);
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      state = inflate(&stream, Z_NO_FLUSH);
      if (state == Z_BUF_ERROR) {  // it wants more
        state = Z_OK;
        break;
      }
      if (state == Z_OK || state == Z_STREAM_END) give(out.data(), out.size() - stream.avail_out);
    } while (state == Z_OK && stream.avail_out == 0 && size <= entry.size);
  }
  if (entry.deflated && state != Z_STREAM_END && size <= entry.size) {
    fail(kBad, "entry '{}' of {} is damaged: its {} deflated bytes {} after {} bytes of content, expected {}",
         printable(entry.name), file_->name(), entry.compressed, state == Z_OK ? "end" : "are invalid", size,
         entry.size);
  }
  if (size != entry.size) {
    fail(kBad, "entry '{}' of {} has {} bytes of content, expected {}", printable(entry.name), file_->name(),
         size > entry.size ? "more" : std::to_string(size), entry.size);
  }
  if (crc != entry.crc) {
    fail(kBad, "entry '{}' of {} has the checksum {:08x}, expected {:08x}; download it again",
         printable(entry.name), file_->name(), crc, entry.crc);
  }
}

std::string ZipArchive::read(const Entry& entry, std::uint64_t limit) const {
  if (entry.size > limit) {
    fail(kBad, "entry '{}' of {} has {} bytes, expected at most {}", printable(entry.name), file_->name(),
         entry.size, limit);
  }
  std::string content;
  content.reserve(entry.size);
  extract(entry, [&](std::span<const std::byte> bytes) {
    content.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  return content;
}

}  // namespace onnxport
