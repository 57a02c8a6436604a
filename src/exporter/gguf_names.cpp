#include "exporter/gguf_names.h"

namespace onnxport::exporter {

GgufName::GgufName(std::string_view name) {
  for (const std::string_view known : {".weight", ".bias"}) {
    if (name.ends_with(known)) ending = known;
  }
  name.remove_suffix(ending.size());
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view piece = name.substr(0, dot);
    const bool number = !piece.empty() && piece.find_first_not_of("0123456789") == std::string_view::npos;
    if (number) numbers.emplace_back(piece);
    pattern += number ? "{}" : piece;
    if (dot == std::string_view::npos) return;
    pattern += '.';
    name.remove_prefix(dot + 1);
  }
}

std::string GgufName::fill(const std::string& key, std::int64_t last) const {
  std::string result;
  std::size_t used = 0;
  for (std::size_t at = 0; at < key.size(); ++at) {
    if (key.compare(at, 2, "{}") != 0) {
      result += key[at];
      continue;
    }
    result += used < numbers.size() ? numbers[used] : std::to_string(last);
    ++used, ++at;
  }
  return result + ending;
}

bool GgufName::is_behind(std::int64_t layers) const {
  if (!pattern.starts_with("blk.{}.")) return false;
  const std::string first = std::to_string(layers), &own = numbers.front();
  return own.size() != first.size() ? own.size() > first.size() : own >= first;
}

std::size_t count_places(const std::string& pattern) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = pattern.find("{}", at)) != std::string::npos; at += 2) ++count;
  return count;
}

std::optional<std::int64_t> layers_before_predicting(const GgufInfo& info) {
  const auto all = info.integer(info.architecture() + ".block_count"),
             behind = info.integer(info.architecture() + ".nextn_predict_layers");
  if (!all || !behind || *behind <= 0 || *behind >= *all) return {};
  return *all - *behind;
}

}  // namespace onnxport::exporter
