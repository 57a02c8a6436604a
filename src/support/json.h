/// JSON text into values. A file that calls json::parse() itself compiles a parser, which takes a second.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace onnxport {

/// `Json`: nlohmann::json or nlohmann::ordered_json. Throws nlohmann::json::parse_error.
template <class Json>
Json parse_json(std::string_view text);

/// The same, but a discarded value (is_discarded()) where the text is no JSON.
template <class Json>
Json try_parse_json(std::string_view text);

extern template nlohmann::json parse_json(std::string_view);
extern template nlohmann::json try_parse_json(std::string_view);
extern template nlohmann::ordered_json parse_json(std::string_view);
extern template nlohmann::ordered_json try_parse_json(std::string_view);

}  // namespace onnxport
