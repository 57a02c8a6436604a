#include "onnxport/gguf_info.h"

namespace onnxport {

bool GgufInfo::has_tensor(std::string_view name) const { return tensors.find(name) != tensors.end(); }

const GgufValue* GgufInfo::find(std::string_view key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

namespace {

template <class T>
std::optional<T> scalar(const GgufInfo& info, std::string_view key) {
  const GgufValue* value = info.find(key);
  if (value == nullptr) return std::nullopt;
  if (const T* own = std::get_if<T>(value)) return *own;
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr || array->values.size() != 1) return std::nullopt;
  const T* only = std::get_if<T>(&array->values.front());
  return only == nullptr ? std::nullopt : std::optional<T>(*only);
}

}  // namespace

std::optional<std::int64_t> GgufInfo::integer(std::string_view key) const {
  return scalar<std::int64_t>(*this, key);
}
std::optional<double> GgufInfo::real(std::string_view key) const {
  if (const auto whole = integer(key)) return static_cast<double>(*whole);
  return scalar<double>(*this, key);
}
std::optional<std::string> GgufInfo::text(std::string_view key) const {
  return scalar<std::string>(*this, key);
}

}  // namespace onnxport
