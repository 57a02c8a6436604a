#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "checkpoint/json_walker.h"
#include "ir/weight_scaled.h"
#include "support/dtype_names.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport::safetensors {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;
constexpr std::size_t kLengthBytes = 8;

// ---------------------------------------------------------------------------------------------------------------------
// Header

/// Sets the dtype of a tensor by its name in the header.
void set_dtype(Described& described, std::string_view name, const std::string& file) {
  const std::string& tensor = described.view.key;
  for (DType dtype : kAllDTypes) {
    if (safetensors_name(dtype) != name) continue;
    described.view.dtype = dtype;
    return;
  }
  constexpr std::array<std::pair<std::string_view, Float8>, 3> kFloat8 = {
      {{"F8_E4M3", Float8::e4m3}, {"F8_E5M2", Float8::e5m2}, {"F8_E8M0", Float8::e8m0}}};
  for (const auto& [float8_name, format] : kFloat8) {
    if (float8_name != name) continue;
    described.view.dtype = DType::u8;
    described.float8 = format;
    return;
  }
  // Part of the format, but not supported.
  constexpr std::array<std::string_view, 7> kOthers = {"F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2",
                                                       "F4",          "C64",         "C128"};
  if (std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end()) {
    fail(ErrorCode::unsupported,
         "tensor '{}' in {} has the unsupported dtype {}; save the checkpoint in BF16, F16 or F32",
         printable(tensor), file, name);
  }
  fail(kBad, "tensor '{}' in {} has the unknown dtype '{}'", printable(tensor), file, printable(name));
}

class HeaderWalker final : public Walker {
 public:
  using Walker::Walker;

  /// The tensors, with offsets [begin, end) into the data.
  struct Entry {
    Described described;
    std::uint64_t begin = 0, end = 0;
  };

  std::vector<Entry> take_entries() {
    std::vector<std::string_view> keys(entries_.size());
    std::transform(entries_.begin(), entries_.end(), keys.begin(),
                   [](const Entry& e) -> std::string_view { return e.described.view.key; });
    check_unique(std::move(keys), "header", file_);
    return std::move(entries_);
  }

 private:
  enum class Field { none, dtype, shape, offsets };
  static constexpr std::size_t kLongestShape = 32;

  const std::string& tensor() const { return entries_.back().described.view.key; }

  void on_key(const std::string& key) override {
    if (depth() == 1) {
      in_metadata_ = key == "__metadata__";
      if (in_metadata_) {
        if (std::exchange(has_metadata_, true)) {
          fail(kBad, "header of {} has key '__metadata__' twice", file_);
        }
        return;
      }
      entries_.emplace_back().described.view.key = key;
      offsets_.clear();
      has_dtype_ = has_shape_ = has_offsets_ = false;
      field_ = Field::none;
    } else if (!in_metadata_) {
      const bool again = key == "dtype" ? has_dtype_ : key == "shape" ? has_shape_ : has_offsets_;
      if (key == "dtype") {
        field_ = Field::dtype;
      } else if (key == "shape") {
        field_ = Field::shape;
      } else if (key == "data_offsets") {
        field_ = Field::offsets;
      } else {
        fail(kBad, "tensor '{}' in {} has the unknown field '{}'", printable(tensor()), file_,
             printable(key));
      }
      if (again) fail(kBad, "tensor '{}' in {} has field '{}' twice", printable(tensor()), file_, key);
    }
  }

  void on_object(int depth) override {
    if (depth == 0) return;
    if (in_metadata_ && depth > 1) {
      fail(kBad, "__metadata__ in {} has an object inside, expected strings", file_);
    }
    if (depth > 1) fail_field("an object");
  }

  void on_array(int depth) override {
    if (in_metadata_) fail(kBad, "__metadata__ in {} has an array inside, expected strings", file_);
    if (depth == 1) {
      fail(kBad, "tensor '{}' in {} is an array, expected an object", printable(tensor()), file_);
    }
    if (depth > 2 || field_ == Field::dtype) fail_field("an array");
    (field_ == Field::shape ? has_shape_ : has_offsets_) = true;
  }

  void on_value(const Scalar& value, int depth) override {
    if (in_metadata_) {
      if (depth == 2 && std::holds_alternative<std::string_view>(value)) return;
      if (depth == 1 && std::holds_alternative<std::nullptr_t>(value)) return;  // some writers' no metadata
      fail(kBad, "__metadata__ in {} holds {}, expected an object of strings", file_, describe(value));
    }
    if (depth == 1) {
      fail(kBad, "tensor '{}' in {} is {}, expected an object", printable(tensor()), file_, describe(value));
    }
    if (depth == 2) {
      const auto* name = std::get_if<std::string_view>(&value);
      if (field_ != Field::dtype || name == nullptr) fail_field(describe(value));
      set_dtype(entries_.back().described, *name, file_);
      has_dtype_ = true;
      return;
    }
    const auto* number = std::get_if<std::uint64_t>(&value);
    if (number == nullptr || *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail_field(number != nullptr ? "a huge number" : describe(value));
    }
    if (field_ == Field::shape) {
      auto& shape = entries_.back().described.view.shape;
      shape.push_back(static_cast<std::int64_t>(*number));
      if (shape.size() > kLongestShape) {
        fail(kBad, "tensor '{}' in {} has more than {} axes", printable(tensor()), file_, kLongestShape);
      }
    } else {
      offsets_.push_back(*number);
      if (offsets_.size() > 2) fail_offsets();
    }
  }

  void on_object_end(int depth) override {
    if (depth != 1 || in_metadata_) return;
    const std::string_view missing = !has_dtype_     ? "dtype"
                                     : !has_shape_   ? "shape"
                                     : !has_offsets_ ? "data_offsets"
                                                     : "";
    if (!missing.empty()) {
      fail(kBad, "tensor '{}' in {} has no field '{}'", printable(tensor()), file_, missing);
    }
    if (offsets_.size() != 2) fail_offsets();
    Entry& entry = entries_.back();
    entry.begin = offsets_[0];
    entry.end = offsets_[1];
  }

  [[noreturn]] void fail_field(std::string_view found) const {
    constexpr std::array<std::string_view, 4> kNames = {"", "dtype", "shape", "data_offsets"};
    constexpr std::array<std::string_view, 4> kExpected = {
        "", "a string", "an array of non-negative integers", "an array of two non-negative integers"};
    const auto index = static_cast<std::size_t>(field_);
    fail(kBad, "tensor '{}' in {} has {} in its {}, expected {}", printable(tensor()), file_, found,
         kNames[index], kExpected[index]);
  }

  [[noreturn]] void fail_offsets() const {
    fail(kBad, "tensor '{}' in {} has {} data_offsets, expected 2", printable(tensor()), file_,
         offsets_.size() > 2 ? "more than 2" : std::to_string(offsets_.size()));
  }

  std::vector<Entry> entries_;
  bool in_metadata_ = false, has_metadata_ = false;
  // The current entry:
  Field field_ = Field::none;
  std::vector<std::uint64_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

/// Checks that each tensor has the size of its shape and is inside the file, and that all of them cover the
/// data exactly.
void check_layout(std::vector<HeaderWalker::Entry>& entries, std::uint64_t data_size,
                  const std::string& file) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  const std::string* before = nullptr;
  for (const auto& [described, begin, end] : entries) {
    const TensorView& view = described.view;
    const auto count = element_count(view.shape);
    std::uint64_t bytes = 0;
    if (!count || __builtin_mul_overflow(static_cast<std::uint64_t>(*count), size_of(view.dtype), &bytes)) {
      fail(kBad, "tensor '{}' in {} has the impossible shape {}", printable(view.key), file,
           text::shape_text(view.shape));
    }
    if (begin > end) {
      fail(kBad, "tensor '{}' in {} ends before it begins: data_offsets [{}, {}]", printable(view.key), file,
           begin, end);
    }
    if (end - begin != bytes) {
      fail(kBad, "tensor '{}' in {} has {} bytes, expected {} for {}{}", printable(view.key), file,
           end - begin, bytes, to_string(view.dtype), text::shape_text(view.shape));
    }
    if (end > data_size) {
      fail(kBad,
           "{} is truncated: tensor '{}' ends at byte {} of the data, but the file has {}; download it again",
           file, printable(view.key), end, data_size);
    }
    if (begin < covered) {
      fail(kBad, "tensor '{}' in {} overlaps tensor '{}'", printable(view.key), file, printable(*before));
    }
    if (begin > covered) {
      fail(kBad, "{} has a hole: {} bytes before tensor '{}' belong to no tensor", file, begin - covered,
           printable(view.key));
    }
    covered = end;
    before = &view.key;
  }
  if (covered != data_size) {
    fail(kBad, "{} has {} bytes after its last tensor that belong to none", file, data_size - covered);
  }
}

}  // namespace

std::uint64_t parse_header_length(std::string_view beginning, std::uint64_t file_size,
                                  const std::string& file_name) {
  if (beginning.starts_with("version https://git-lfs")) {
    fail(kBad, "{} is a git-lfs pointer, not the weights; run `git lfs pull` in its folder", file_name);
  }
  if (beginning.size() < kLengthBytes) {
    fail(kBad, "{} has {} bytes, too short for a safetensors file; download it again", file_name, file_size);
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(beginning[i])) << (8 * i);
  }
  if (length > kMaxHeader) {
    fail(kBad,
         "{} announces a header of {} bytes, expected at most {}: it is damaged, or not a safetensors file",
         file_name, length, kMaxHeader);
  }
  if (length > file_size - kLengthBytes) {
    fail(kBad,
         "{} is truncated: it announces a header of {} bytes, but has {} after the length; download it again",
         file_name, length, file_size - kLengthBytes);
  }
  return length;
}

std::vector<Described> parse_header(std::string_view header, std::uint64_t file_size,
                                    const std::string& file_name) {
  HeaderWalker walker(file_name);
  walker.walk(header, "header");
  std::vector<HeaderWalker::Entry> entries = walker.take_entries();
  const std::uint64_t data = kLengthBytes + header.size();
  check_layout(entries, file_size - data, file_name);
  std::vector<Described> tensors;
  tensors.reserve(entries.size());
  for (auto& [described, begin, end] : entries) {
    described.view.offset = data + begin;
    tensors.push_back(std::move(described));
  }
  return tensors;
}

std::vector<StoredTensor> read(const std::shared_ptr<const File>& file) {
  std::string beginning(std::min<std::uint64_t>(64, file->size()), '\0');
  file->read(0, beginning.size(), reinterpret_cast<std::byte*>(beginning.data()));
  std::string header(parse_header_length(beginning, file->size(), file->name()), '\0');
  file->read(kLengthBytes, header.size(), reinterpret_cast<std::byte*>(header.data()));
  std::vector<StoredTensor> tensors;
  for (auto& [view, float8] : parse_header(header, file->size(), file->name())) {
    view.file = file;
    if (float8) {
      const Weight values = from_float8(view, *float8);
      tensors.push_back(
          {{.key = std::move(view.key), .dtype = values.dtype(), .shape = values.shape()}, values, true});
    } else {
      tensors.push_back({std::move(view)});
    }
  }
  return tensors;
}

}  // namespace onnxport::safetensors
