// Weights that are stored: in a file of the checkpoint, or in memory.
#include <fmt/format.h>

#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "ir/weight_expr.h"
#include "ir/weight_origin.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/hash.h"

namespace onnxport::detail {
namespace {

class ViewSource final : public Source {
 public:
  explicit ViewSource(const TensorView& view)
      : Source(view.dtype, text_of(view), 0), file_(view.file), offset_(view.offset) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (!file_) fail(ErrorCode::internal, "the bytes of {} were requested, but it has no file", text());
    StoredWindow::read(*file_, offset_ + static_cast<std::uint64_t>(begin * element_size()),
                       static_cast<std::size_t>(count * element_size()), out);
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return {{.begin = begin,
             .count = count,
             .file = file_,
             .offset = offset_ + static_cast<std::uint64_t>(begin * element_size()),
             .bytes = element_size()}};
  }

 private:
  static std::string text_of(const TensorView& view) {
    if (!view.file) return fmt::format("key({}){}@{}", view.key, short_name(view.dtype), view.offset);
    return fmt::format("file({}){}@{}", view.file->identity(), short_name(view.dtype), view.offset);
  }

  std::shared_ptr<const File> file_;
  std::uint64_t offset_;
};

class ConstantSource final : public Source {
 public:
  ConstantSource(DType dtype, std::shared_ptr<const std::vector<std::byte>> bytes)
      : Source(dtype, text_of(dtype, *bytes), 0), bytes_(std::move(bytes)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count > 0) {
      std::memcpy(out, bytes_->data() + begin * element_size(),
                  static_cast<std::size_t>(count * element_size()));
    }
  }

 private:
  static std::string text_of(DType dtype, std::span<const std::byte> bytes) {
    if (bytes.size() > 32) return fmt::format("const({},#{})", short_name(dtype), hash128(bytes));
    std::string hex;
    for (std::byte byte : bytes) hex += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return fmt::format("const({},{})", short_name(dtype), hex);
  }

  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

}  // namespace

SourcePtr make_view(const TensorView& view) { return std::make_shared<ViewSource>(view); }

SourcePtr make_constant(DType dtype, std::shared_ptr<const std::vector<std::byte>> bytes) {
  return std::make_shared<ConstantSource>(dtype, std::move(bytes));
}

}  // namespace onnxport::detail
