/// Where the elements of a weight are stored, for code that reads several weights made of the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace onnxport {

class File;
class Weight;

/// A run of elements of a weight that follow a run of bytes in the same order: each `elements` of them are
/// computed from the next `bytes`. What else they need (scales, factors, biases) does not count. `count` is a
/// multiple of `elements`.
///
/// The bytes are stored, or they are those of another expression that several weights are made of, such as
/// the values that are quantized.
struct Origin {
  std::int64_t begin = 0, count = 0;
  std::shared_ptr<const File> file = nullptr;  ///< null: not stored in this order
  std::uint64_t offset = 0;                    ///< of the first byte in the file, or in the expression
  std::int64_t elements = 1, bytes = 1;
  std::string expression = {};  ///< without a file: the text of the expression; empty: no order is known

  bool known() const { return file != nullptr || !expression.empty(); }
  /// Equal for equal bytes at equal offsets.
  const std::string& identity() const;
  /// Bytes of the run, in the file or in the expression.
  std::int64_t source_bytes() const { return count / elements * bytes; }
};

/// Runs that cover the weight, in order.
std::vector<Origin> origins_of(const Weight& weight);

/// Bits that each value takes in the stored files, without scales; 0 if that is unknown.
double stored_bits(const Weight& weight);

/// Bytes of a file, read once. As long as it exists, all reads of the same thread that lie in this range get
/// copies of them.
class StoredWindow {
 public:
  /// Fills `buffer`, which must outlive the window, with the bytes from `offset` on. Throws like File::read.
  StoredWindow(const File& file, std::uint64_t offset, std::span<std::byte> buffer);
  ~StoredWindow();
  StoredWindow(const StoredWindow&) = delete;
  StoredWindow& operator=(const StoredWindow&) = delete;

  /// Bytes from the window of this thread, or else from the file. Throws like File::read.
  static void read(const File& file, std::uint64_t offset, std::size_t size, std::byte* out);

 private:
  bool holds(const File& file, std::uint64_t offset, std::size_t size) const;

  const File& file_;
  std::uint64_t offset_;
  std::span<const std::byte> bytes_;
  const StoredWindow* outer_;  ///< the one before this one
};

namespace detail {
class Source;

/// The origins of a step that makes `out` elements from each `in` elements of its input, in order: decoded
/// blocks, or codes and scales of rows. If the input has no known origin, its elements are the origin.
std::vector<Origin> origins_by_unit(const Source& input, std::int64_t in, std::int64_t out,
                                    std::int64_t begin, std::int64_t count);
/// Adds the origins of elements [from, from + count) of `input`, which are the elements from `at` on of a
/// step that copies them.
void append_origins(std::vector<Origin>& origins, const Source& input, std::int64_t from, std::int64_t count,
                    std::int64_t at);

}  // namespace detail
}  // namespace onnxport
