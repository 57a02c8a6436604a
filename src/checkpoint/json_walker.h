/// JSON of unknown size, read without building values.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/fail.h"
#include "support/printable.h"

namespace onnxport::safetensors {

using Scalar = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string_view>;

inline std::string_view describe(const Scalar& value) {
  constexpr std::array<std::string_view, 6> kNames = {
      "null", "a boolean", "a negative number", "a number", "a fraction or huge number", "a string"};
  return kNames[value.index()];
}

/// Walks through JSON without building values. A derived class knows its position by the depth and the last
/// key, and throws if it meets anything unexpected. There is no stack, so depth costs nothing.
class Walker : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Walker(const std::string& file) : file_(file) {}

  void walk(std::string_view text, std::string_view what) {
    what_ = what;
    // Unlike a JSON parser, the format does not allow a byte order mark or leading blanks.
    if (!text.starts_with('{')) fail(ErrorCode::bad_checkpoint, "{} of {} is not a JSON object", what, file_);
    nlohmann::json::sax_parse(text, this);
  }

  bool null() final { return take(nullptr); }
  bool boolean(bool value) final { return take(value); }
  bool number_integer(std::int64_t value) final { return take(value); }
  bool number_unsigned(std::uint64_t value) final { return take(value); }
  bool number_float(double value, const std::string&) final { return take(value); }
  bool string(std::string& value) final { return take(std::string_view(value)); }
  bool binary(nlohmann::json::binary_t&) final { return false; }
  bool key(std::string& value) final {
    on_key(value);
    return true;
  }
  bool start_object(std::size_t) final {
    on_object(depth_++);
    return true;
  }
  bool end_object() final {
    on_object_end(--depth_);
    return true;
  }
  bool start_array(std::size_t) final {
    on_array(depth_++);
    return true;
  }
  bool end_array() final {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) final {
    if (std::string_view(error.what()).find("UTF-8") != std::string_view::npos) {
      fail(ErrorCode::bad_checkpoint, "{} of {} is not valid UTF-8 at byte {}", what_, file_, position);
    }
    fail(ErrorCode::bad_checkpoint, "{} of {} is broken JSON at byte {}", what_, file_, position);
  }

 protected:
  /// `depth`: number of objects and arrays around.
  virtual void on_value(const Scalar& value, int depth) = 0;
  virtual void on_key(const std::string& key) = 0;
  virtual void on_object(int depth) = 0;
  virtual void on_object_end(int) {}
  virtual void on_array(int depth) = 0;
  int depth() const { return depth_; }

  const std::string& file_;

 private:
  bool take(const Scalar& value) {
    on_value(value, depth_);
    return true;
  }

  std::string_view what_;
  int depth_ = 0;
};

/// Throws for the first key that occurs twice. Sorts `keys`.
inline void check_unique(std::vector<std::string_view> keys, std::string_view what, const std::string& file) {
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end())
    fail(ErrorCode::bad_checkpoint, "{} of {} has key '{}' twice", what, file, printable(*twice));
}

}  // namespace onnxport::safetensors
