#include "ir/weight_origin.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ir/weight_expr.h"
#include "support/file.h"

namespace onnxport {
namespace {

thread_local const StoredWindow* current_window = nullptr;

}  // namespace

StoredWindow::StoredWindow(const File& file, std::uint64_t offset, std::span<std::byte> buffer)
    : file_(file), offset_(offset), bytes_(buffer), outer_(current_window) {
  read(file, offset, buffer.size(), buffer.data());
  current_window = this;
}

StoredWindow::~StoredWindow() { current_window = outer_; }

bool StoredWindow::holds(const File& file, std::uint64_t offset, std::size_t size) const {
  if (offset < offset_ || size > bytes_.size() || offset - offset_ > bytes_.size() - size) return false;
  return &file == &file_ || file.identity() == file_.identity();
}

void StoredWindow::read(const File& file, std::uint64_t offset, std::size_t size, std::byte* out) {
  const StoredWindow* window = current_window;
  if (window == nullptr || !window->holds(file, offset, size)) return file.read(offset, size, out);
  if (size > 0) std::memcpy(out, window->bytes_.data() + (offset - window->offset_), size);
}

const std::string& Origin::identity() const { return file != nullptr ? file->identity() : expression; }

std::vector<Origin> origins_of(const Weight& weight) {
  if (weight.numel() == 0) return {};
  return detail::WeightExpr::of(weight).source->origins(0, weight.numel());
}

double stored_bits(const Weight& weight) {
  constexpr double kByte = 8;
  double bytes = 0;
  for (const Origin& origin : origins_of(weight)) {
    if (origin.file == nullptr) return 0;
    bytes += static_cast<double>(origin.source_bytes());
  }
  return kByte * bytes / static_cast<double>(std::max<std::int64_t>(weight.numel(), 1));
}

namespace detail {

std::vector<Origin> Source::origins(std::int64_t begin, std::int64_t count) const {
  return {{.begin = begin, .count = count}};
}

std::vector<Origin> origins_by_unit(const Source& input, std::int64_t in, std::int64_t out,
                                    std::int64_t begin, std::int64_t count) {
  std::vector<Origin> unknown = {{.begin = begin, .count = count}};
  if (begin % out != 0 || count % out != 0) return unknown;
  std::vector<Origin> origins = input.origins(begin / out * in, count / out * in);
  for (Origin& origin : origins) {
    if (origin.begin % in != 0 || origin.count % in != 0) return unknown;
    // Units of this step and units of the input begin together after so many of both.
    const std::int64_t common = std::gcd(in, origin.elements);
    const std::int64_t inner_units = in / common, units = origin.elements / common;
    if (!origin.known() || origin.count / origin.elements % inner_units != 0) {
      origin.file = nullptr;
      origin.expression = input.text();
      origin.offset = static_cast<std::uint64_t>(origin.begin * input.element_size());
      origin.bytes = in * input.element_size();
      origin.elements = out;
    } else {
      origin.bytes *= inner_units;
      origin.elements = units * out;
    }
    origin.begin = origin.begin / in * out;
    origin.count = origin.count / in * out;
  }
  return origins;
}

void append_origins(std::vector<Origin>& origins, const Source& input, std::int64_t from, std::int64_t count,
                    std::int64_t at) {
  for (Origin& origin : input.origins(from, count)) {
    origin.begin += at - from;
    origins.push_back(std::move(origin));
  }
}

}  // namespace detail
}  // namespace onnxport
