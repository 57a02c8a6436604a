#include "checkpoint/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "checkpoint/ggml_blocks.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport::gguf {
namespace {

using namespace std::string_view_literals;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

constexpr std::uint64_t kMostEntries = 1'000'000;  // of metadata, and as many tensors
constexpr std::uint64_t kLongestName = 65'535;     // the longest key that the format allows
constexpr std::uint64_t kLongestText = 64 * 1024;  // longer values (chat templates) are skipped
constexpr std::uint64_t kLongestArray = 4096;      // elements; longer ones (vocabularies) are counted
constexpr std::uint32_t kMostAxes = 4;             // GGML_MAX_DIMS
constexpr std::uint64_t kDefaultAlignment = 32;    // bytes
constexpr std::uint64_t kLargestAlignment = 1 << 30;

/// The type of a value, by its number in files.
enum class Type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
constexpr std::array<std::uint64_t, 13> kFewestBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

/// Reads successive numbers and texts. `what()` describes the current item, for messages.
class Reader {
 public:
  explicit Reader(const File& file) : file_(file) {}

  std::uint64_t position() const { return window_begin_ + at_; }
  std::uint64_t left() const { return file_.size() - position(); }
  void now(std::string what) { what_ = std::move(what); }
  const std::string& what() const { return what_; }

  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail(kBad, "{} of {}: {}", what_, file_.name(), fmt::format(format, std::forward<Args>(args)...));
  }

  /// Throws unless the file has this many bytes left.
  void need(std::uint64_t bytes) const {
    if (bytes <= left()) return;
    bad("needs {} bytes at byte {}, but the file ends at byte {}; download it again", bytes, position(),
        file_.size());
  }

  void skip(std::uint64_t bytes) {
    need(bytes);
    if (bytes <= window_.size() - at_) {
      at_ += static_cast<std::size_t>(bytes);
    } else {
      window_begin_ += at_ + bytes;
      window_.clear();
      at_ = 0;
    }
  }

  template <class T>
  T number() {
    static_assert(std::endian::native == std::endian::little);
    T value;
    take(reinterpret_cast<std::byte*>(&value), sizeof value);
    return value;
  }

  std::string text(std::uint64_t size) {
    need(size);
    std::string result(static_cast<std::size_t>(size), '\0');
    take(reinterpret_cast<std::byte*>(result.data()), result.size());
    return result;
  }

 private:
  static constexpr std::uint64_t kWindow = 256 * 1024;

  void take(std::byte* out, std::size_t size) {
    need(size);
    while (size > 0) {
      if (at_ == window_.size()) {
        window_begin_ += at_;
        at_ = 0;
        window_.resize(static_cast<std::size_t>(std::min(kWindow, file_.size() - window_begin_)));
        file_.read(window_begin_, window_.size(), window_.data());
      }
      const std::size_t n = std::min(size, window_.size() - at_);
      std::memcpy(out, window_.data() + at_, n);
      at_ += n;
      out += n;
      size -= n;
    }
  }

  const File& file_;
  std::string what_ = "the beginning";
  std::vector<std::byte> window_;
  std::uint64_t window_begin_ = 0;  ///< of the first byte in `window_`
  std::size_t at_ = 0;              ///< in `window_`
};

// ---------------------------------------------------------------------------------------------------------------------
// Beginning

/// Returns the version of a GGUF file. Refuses other files with a message that helps to fix the problem.
std::uint32_t read_version(Reader& reader, const File& file) {
  std::string beginning(std::min<std::uint64_t>(64, file.size()), '\0');
  file.read(0, beginning.size(), reinterpret_cast<std::byte*>(beginning.data()));
  if (beginning.starts_with("version https://git-lfs"sv)) {
    fail(kBad, "{} is a git-lfs pointer, not the weights; run `git lfs pull` in its folder", file.name());
  }
  for (const std::string_view old : {"lmgg"sv, "fmgg"sv, "tjgg"sv, "algg"sv}) {
    if (!beginning.starts_with(old)) continue;
    fail(ErrorCode::unsupported,
         "{} is in a format of llama.cpp older than GGUF; convert the original checkpoint again",
         file.name());
  }
  if (!beginning.starts_with("GGUF"sv)) {
    fail(kBad, "{} ({} bytes) does not begin with GGUF; download it again", file.name(), file.size());
  }
  reader.skip(4);
  const auto version = reader.number<std::uint32_t>();
  if (version == 2 || version == 3) return version;
  if (version != 0 && (version & 0xffffU) == 0) {
    fail(ErrorCode::unsupported, "{} is big-endian, expected a little-endian file", file.name());
  }
  fail(ErrorCode::unsupported,
       "{} has GGUF version {}, expected 2 or 3; convert the original checkpoint again", file.name(),
       version);
}

std::uint64_t read_count(Reader& reader, std::string_view what, std::uint64_t fewest_bytes) {
  reader.now(fmt::format("the number of {}", what));
  const auto count = reader.number<std::uint64_t>();
  if (count > kMostEntries) reader.bad("got {}, expected at most {}", count, kMostEntries);
  reader.need(count * fewest_bytes);
  return count;
}

// ---------------------------------------------------------------------------------------------------------------------
// Metadata

Type read_type(Reader& reader) {
  const auto number = reader.number<std::uint32_t>();
  if (number > static_cast<std::uint32_t>(Type::f64)) reader.bad("has the unknown type {}", number);
  return static_cast<Type>(number);
}

std::string read_name(Reader& reader) {
  const auto size = reader.number<std::uint64_t>();
  if (size == 0 || size > kLongestName) {
    reader.bad("has a name of {} bytes, expected 1 to {}", size, kLongestName);
  }
  return reader.text(size);
}

/// The shortest decimal that gives this float: 1e-06 instead of its exact value 9.999999974752427e-07.
double as_written(float value) {
  if (!std::isfinite(value)) return value;
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double result = 0;
  std::from_chars(text.data(), end, result);
  return result;
}

/// A value that is not an array; nothing for a text that is too long to be useful.
std::optional<GgufScalar> read_scalar(Reader& reader, Type type) {
  switch (type) {
    case Type::u8:
      return std::int64_t{reader.number<std::uint8_t>()};
    case Type::i8:
      return std::int64_t{reader.number<std::int8_t>()};
    case Type::u16:
      return std::int64_t{reader.number<std::uint16_t>()};
    case Type::i16:
      return std::int64_t{reader.number<std::int16_t>()};
    case Type::u32:
      return std::int64_t{reader.number<std::uint32_t>()};
    case Type::i32:
      return std::int64_t{reader.number<std::int32_t>()};
    case Type::i64:
      return reader.number<std::int64_t>();
    case Type::u64: {
      const auto value = reader.number<std::uint64_t>();
      if (value <= std::numeric_limits<std::int64_t>::max()) return static_cast<std::int64_t>(value);
      return static_cast<double>(value);
    }
    case Type::f32:
      return as_written(reader.number<float>());
    case Type::f64:
      return reader.number<double>();
    case Type::boolean: {
      const auto value = reader.number<std::uint8_t>();
      if (value > 1) reader.bad("is the boolean {}, expected 0 or 1", value);
      return value == 1;
    }
    case Type::text: {
      const auto size = reader.number<std::uint64_t>();
      if (size <= kLongestText) return reader.text(size);
      reader.skip(size);
      return std::nullopt;
    }
    case Type::array:
      break;
  }
  reader.bad("is an array of arrays, which is not supported");
}

GgufArray read_array(Reader& reader) {
  const Type type = read_type(reader);
  GgufArray array{.size = reader.number<std::uint64_t>()};
  const std::uint64_t fewest = kFewestBytes.at(static_cast<std::size_t>(type));
  if (array.size > reader.left() / fewest) {
    reader.bad("is an array of {} elements, but the file has only {} bytes left", array.size, reader.left());
  }
  const bool keep = array.size <= kLongestArray;
  if (!keep && type != Type::text && type != Type::array) {
    reader.skip(array.size * fewest);
    return array;
  }
  for (std::uint64_t i = 0; i < array.size; ++i) {
    if (!keep && type == Type::text) {
      reader.skip(reader.number<std::uint64_t>());
    } else if (auto value = read_scalar(reader, type)) {
      array.values.push_back(*std::move(value));
    } else {
      array.values.emplace_back(std::string());
    }
  }
  return array;
}

void read_metadata(Reader& reader, std::uint64_t count, GgufInfo& info) {
  for (std::uint64_t i = 0; i < count; ++i) {
    reader.now(fmt::format("entry {} of the metadata", i));
    std::string key = read_name(reader);
    reader.now(fmt::format("'{}' in the metadata", printable(key)));
    const Type type = read_type(reader);
    std::optional<GgufValue> value;
    if (type == Type::array) {
      value = read_array(reader);
    } else if (auto scalar = read_scalar(reader, type)) {
      value = std::visit([](auto&& one) { return GgufValue(std::forward<decltype(one)>(one)); },
                         *std::move(scalar));
    }
    if (!value) continue;
    if (!info.metadata.emplace(std::move(key), *std::move(value)).second) reader.bad("occurs twice");
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors

struct Placed {
  std::string name;
  const TensorType* type;
  std::vector<std::int64_t> shape;
  std::uint64_t offset, bytes;  ///< from the beginning of the data
};

std::vector<std::int64_t> read_shape(Reader& reader) {
  const auto axes = reader.number<std::uint32_t>();
  if (axes > kMostAxes) reader.bad("has {} axes, expected at most {}", axes, kMostAxes);
  std::vector<std::int64_t> shape;
  for (std::uint32_t i = 0; i < axes; ++i) {
    const auto extent = reader.number<std::uint64_t>();
    if (extent > std::numeric_limits<std::int64_t>::max()) reader.bad("has an axis of {} elements", extent);
    shape.insert(shape.begin(), static_cast<std::int64_t>(extent));  // the file begins with the fastest one
  }
  return shape;
}

std::uint64_t byte_size(const Reader& reader, const TensorType& type,
                        const std::vector<std::int64_t>& shape) {
  const auto count = element_count(shape);
  if (!count || *count > (std::numeric_limits<std::int64_t>::max() >> 4)) {
    reader.bad("has shape {}, which is too large for a file", text::shape_text(shape));
  }
  if (type.blocks == nullptr) return static_cast<std::uint64_t>(*count) * size_of(type.dtype);
  const std::int64_t row = shape.empty() ? 1 : shape.back();
  if (row % type.blocks->elements != 0) {
    reader.bad("has rows of {} elements, expected a multiple of {} in type {}", row, type.blocks->elements,
               type.name);
  }
  return static_cast<std::uint64_t>(*count / type.blocks->elements * type.blocks->bytes);
}

Placed read_tensor(Reader& reader, std::uint64_t index, const File& file) {
  reader.now(fmt::format("tensor {}", index));
  Placed tensor{.name = read_name(reader)};
  reader.now(fmt::format("tensor '{}'", printable(tensor.name)));
  tensor.shape = read_shape(reader);
  const auto number = reader.number<std::uint32_t>();
  tensor.offset = reader.number<std::uint64_t>();
  tensor.type = find_type(number);
  if (tensor.type == nullptr) reader.bad("has the unknown type {}", number);
  if (!tensor.type->supported) {
    fail(ErrorCode::unsupported, "tensor '{}' of {} has the unsupported type {}; supported: {}",
         printable(tensor.name), file.name(), tensor.type->name, text::join(supported_types()));
  }
  tensor.bytes = byte_size(reader, *tensor.type, tensor.shape);
  return tensor;
}

std::uint64_t read_alignment(const GgufInfo& info, const File& file) {
  if (info.find("general.alignment") == nullptr) return kDefaultAlignment;
  const auto value = info.integer("general.alignment");
  if (value && *value > 0 && std::has_single_bit(static_cast<std::uint64_t>(*value)) &&
      static_cast<std::uint64_t>(*value) <= kLargestAlignment) {
    return static_cast<std::uint64_t>(*value);
  }
  fail(kBad, "'general.alignment' in the metadata of {}: expected a power of two{}", file.name(),
       value ? fmt::format(", got {}", *value) : "");
}

/// Throws unless all tensors are inside the file's data and do not overlap.
void check_places(const std::vector<Placed>& tensors, std::uint64_t alignment, std::uint64_t data,
                  const File& file) {
  std::vector<const Placed*> order;
  for (const Placed& tensor : tensors) {
    const auto bad = [&](std::string_view why) {
      fail(kBad, "tensor '{}' of {}: {} bytes at offset {} of the data, {}", printable(tensor.name),
           file.name(), tensor.bytes, tensor.offset, why);
    };
    if (tensor.offset % alignment != 0) bad(fmt::format("expected a multiple of {}", alignment));
    const std::uint64_t size = file.size() > data ? file.size() - data : 0;
    if (tensor.offset > size || tensor.bytes > size - tensor.offset) {
      bad(fmt::format("which has {} bytes; download it again", size));
    }
    if (tensor.bytes > 0) order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const Placed* a, const Placed* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Placed &before = *order[i - 1], &after = *order[i];
    if (before.offset + before.bytes <= after.offset) continue;
    fail(kBad, "tensors '{}' and '{}' of {} overlap", printable(before.name), printable(after.name),
         file.name());
  }
}

StoredTensor stored(Placed&& tensor, std::uint64_t data, const std::shared_ptr<const File>& file) {
  // A file may end before the padding that precedes an empty tensor.
  const std::uint64_t offset = tensor.bytes == 0 ? 0 : data + tensor.offset;
  TensorView view{.key = std::move(tensor.name),
                  .dtype = tensor.type->dtype,
                  .shape = std::move(tensor.shape),
                  .file = file,
                  .offset = offset};
  if (tensor.type->blocks == nullptr) return {std::move(view)};
  const TensorView bytes{.dtype = DType::u8,
                         .shape = {static_cast<std::int64_t>(tensor.bytes)},
                         .file = file,
                         .offset = view.offset};
  const Weight weight = read_blocks(*tensor.type, bytes, view.shape);
  return {{.key = std::move(view.key), .dtype = DType::f32, .shape = std::move(view.shape)}, weight};
}

}  // namespace

Contents read_part(const std::shared_ptr<const File>& file) {
  Reader reader(*file);
  Contents contents{.info = {.file = file->path().string()}};
  read_version(reader, *file);
  constexpr std::uint64_t kFewestBytesOfTensor = 8 + 1 + 4 + 4 + 8, kFewestBytesOfEntry = 8 + 1 + 4 + 1;
  const std::uint64_t tensors = read_count(reader, "tensors", kFewestBytesOfTensor);
  read_metadata(reader, read_count(reader, "entries of the metadata", kFewestBytesOfEntry), contents.info);
  std::vector<Placed> placed;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    placed.push_back(read_tensor(reader, i, *file));
    if (!contents.info.tensors.emplace(placed.back().name, Weight()).second) reader.bad("occurs twice");
  }
  const std::uint64_t alignment = read_alignment(contents.info, *file);
  const std::uint64_t data = (reader.position() + alignment - 1) / alignment * alignment;
  check_places(placed, alignment, data, *file);
  for (Placed& tensor : placed) {
    contents.tensors.push_back(stored(std::move(tensor), data, file));
    const StoredTensor& one = contents.tensors.back();
    contents.info.tensors[one.view.key] = one.weight ? one.weight : Weight(one.view);
  }
  return contents;
}

}  // namespace onnxport::gguf
