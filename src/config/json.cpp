#include "config/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "onnxport/error.h"
#include "support/file.h"

namespace onnxport::config {
namespace {

namespace fs = std::filesystem;

std::string place(std::string_view text, std::size_t byte, const std::string& origin) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto line_start = before.rfind('\n');
  const auto column = before.size() - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
  return fmt::format("{}: line {}, column {}", origin, line, column);
}

/// Quotes the tokens that Python writes but JSON does not have, and checks the depth before any recursion.
std::string prepare(std::string_view text, const std::string& origin) {
  static constexpr std::pair<std::string_view, std::string_view> python_tokens[] = {
      {"NaN", R"("nan")"}, {"-Infinity", R"("-inf")"}, {"Infinity", R"("inf")"}};
  std::string out;
  out.reserve(text.size());
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      quoted = c != '"';
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '}' || c == ']') --depth;
    if ((c == '{' || c == '[') && ++depth > max_json_depth) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: nested deeper than {} levels",
                                                           place(text, i, origin), max_json_depth));
    }
    if (c == 'N' || c == 'I' || c == '-') {
      const auto* const token =
          std::find_if(std::begin(python_tokens), std::end(python_tokens),
                       [&](const auto& t) { return text.substr(i).starts_with(t.first); });
      if (token != std::end(python_tokens)) {
        out += token->second;
        i += token->first.size() - 1;
        continue;
      }
    }
    out += c;
  }
  return out;
}

/// The parser's message without its prefix, unprintable bytes and overlong quotes of the input.
std::string parser_message(const char* what) {
  std::string message = what;
  if (const auto end = message.find("] "); end != std::string::npos) message.erase(0, end + 2);
  if (const auto end = message.find(": "); end != std::string::npos && message.starts_with("parse error")) {
    message.erase(0, end + 2);
  }
  std::replace_if(message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  constexpr std::size_t longest = 200;
  if (message.size() > longest) message = message.substr(0, longest) + "…";
  return message;
}

/// Transformers 5 writes {"__float__": "Infinity"} for a float that JSON does not have.
template <class Json>
void untag_floats(Json& value) {
  static constexpr std::pair<std::string_view, const char*> names[] = {
      {"NaN", "nan"}, {"Infinity", "inf"}, {"-Infinity", "-inf"}};
  if (!value.is_structured()) return;
  if (value.is_object() && value.size() == 1 && value.contains("__float__") &&
      value["__float__"].is_string()) {
    const auto& tag = value["__float__"].template get_ref<const std::string&>();
    const auto* const name = std::ranges::find(names, tag, [](const auto& pair) { return pair.first; });
    if (name != std::end(names)) value = name->second;
    return;
  }
  for (Json& inner : value) untag_floats(inner);
}

template <class Json>
Json parse(std::string_view text, const std::string& origin) {
  if (text.size() > max_json_bytes) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} bytes of json, expected at most {}", origin,
                                                         text.size(), max_json_bytes));
  }
  const std::string prepared = prepare(text, origin);
  try {
    Json parsed = Json::parse(prepared);
    if (prepared.find("__float__") != std::string::npos) untag_floats(parsed);
    return parsed;
  } catch (const nlohmann::json::parse_error& error) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: broken json: {}", place(prepared, error.byte == 0 ? 0 : error.byte - 1, origin),
                    parser_message(error.what())));
  } catch (const nlohmann::json::exception& error) {  // a number beyond double
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: broken json: {}", origin, parser_message(error.what())));
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& origin) {
  return parse<nlohmann::json>(text, origin);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& origin) {
  return parse<nlohmann::ordered_json>(text, origin);
}

std::string read_json_text(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: no such file", file.string()));
  }
  if (!fs::is_regular_file(status)) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: not a regular file", file.string()));
  }
  return read_text_file(file, max_json_bytes);
}

std::string brief(const nlohmann::json& value) {
  constexpr std::size_t longest = 60;
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > longest) text = text.substr(0, longest) + "…";
  return text;
}

nlohmann::json parse_value(std::string_view key, std::string_view value) {
  nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
  if (!parsed.is_discarded()) return parsed;
  throw ExportError(ErrorCode::invalid_argument,
                    fmt::format("the value of '{}' is not JSON: {}", key, value));
}

}  // namespace onnxport::config
