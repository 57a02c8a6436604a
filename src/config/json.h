/// JSON text to values, with limits, and errors that name the position.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace onnxport::config {

/// Larger texts are refused. The largest known config.json has a few hundred kilobytes.
inline constexpr std::size_t max_json_bytes = 10'000'000;
/// Deeper texts are refused, because copying, comparing and printing JSON values is recursive.
inline constexpr int max_json_depth = 64;

/// Parses JSON as Python's json module writes it: `NaN`, `Infinity` and `-Infinity` become the strings "nan",
/// "inf" and "-inf". Throws ExportError(bad_config) that names `origin`, line and column.
nlohmann::json parse_json(std::string_view text, const std::string& origin);
/// The same with keys in their order.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& origin);

/// The whole file. Throws ExportError(bad_config) if it is not a regular file, and ExportError(io) if it
/// cannot be read or is larger than max_json_bytes.
std::string read_json_text(const std::filesystem::path& file);

/// A value for a message: compact, ASCII, cut to about sixty characters.
std::string brief(const nlohmann::json& value);

/// The value of a key, given as JSON text. Throws ExportError(invalid_argument) if the text is not JSON.
nlohmann::json parse_value(std::string_view key, std::string_view value);

}  // namespace onnxport::config
