#include "pipeline/model_card.h"

#include <sstream>
#include <string_view>
#include <system_error>

#include "support/file.h"
#include "support/text.h"

namespace onnxport::pipeline {

namespace fs = std::filesystem;

std::string tag_of_card(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return "";
  std::istringstream lines(read_text_file(file));
  std::string line;
  for (bool first = true; std::getline(lines, line); first = false) {
    const std::string_view text = text::trimmed(line);
    if (first != (text == "---")) break;  // the metadata are between two such lines
    constexpr std::string_view key = "pipeline_tag:";
    if (!line.starts_with(key)) continue;
    std::string_view value = text::trimmed(text.substr(key.size()));
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
      value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return "";
}

}  // namespace onnxport::pipeline
