#include "layout/sherpa_tokens.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/json.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using nlohmann::json;
using Symbols = std::map<std::int64_t, std::string>;
using Ids = std::set<std::int64_t>;

constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kVocabulary = "vocab.json";
constexpr const char* kAdded = "added_tokens.json";

[[noreturn]] void refuse(const std::string& file, const std::string& reason) {
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", file, reason));
}

json parse(const Model& model, const char* file) {
  return config::parse_json(model.read_file(file), (model.folder() / file).string());
}

void add(Symbols& symbols, const std::string& file, const json& id, const std::string& symbol) {
  if (!id.is_number_integer() || id.get<std::int64_t>() < 0)
    refuse(file, fmt::format("the id of '{}' is {}, expected an integer from 0", symbol, id.dump()));
  symbols[id.get<std::int64_t>()] = symbol;
}

// A table of ids by symbol, or a list of symbols with their scores.
void add_vocabulary(Symbols& symbols, const std::string& file, const json& vocabulary) {
  if (vocabulary.is_object()) {
    for (const auto& [symbol, id] : vocabulary.items()) add(symbols, file, id, symbol);
    return;
  }
  if (!vocabulary.is_array()) refuse(file, "vocab is neither a table nor a list");
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const json& entry = vocabulary[i];
    if (!entry.is_array() || entry.empty() || !entry[0].is_string())
      refuse(file, fmt::format("entry {} of vocab is {}, expected a symbol and its score", i, entry.dump()));
    add(symbols, file, i, entry[0].get<std::string>());
  }
}

void add_added(Symbols& symbols, Ids& added, const json& tokens) {
  for (const json& token : tokens) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string())
      refuse(kTokenizer, fmt::format("added_tokens has {}, expected a token with its content", token.dump()));
    const json id = token.value("id", json());
    add(symbols, kTokenizer, id, token["content"].get<std::string>());
    added.insert(id.get<std::int64_t>());
  }
}

// The character that stands for each byte: itself if it can be printed, else the next one from 256 on.
std::map<std::uint32_t, unsigned char> byte_table() {
  std::map<std::uint32_t, unsigned char> table;
  std::uint32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printed = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    table[printed ? byte : next++] = static_cast<unsigned char>(byte);
  }
  return table;
}

// One character of UTF-8, and how many bytes it takes.
std::pair<std::uint32_t, std::size_t> decode(std::string_view text) {
  const auto byte = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(text[i]); };
  if (text.size() >= 2 && (byte(0) & 0xE0U) == 0xC0U) return {(byte(0) & 0x1FU) << 6U | (byte(1) & 0x3FU), 2};
  if (byte(0) < 0x80) return {byte(0), 1};
  return {0x10FFFF, 1};  // no byte has a character behind the first two blocks
}

}  // namespace

Tokens::Tokens(Symbols symbols, Ids added, std::string file)
    : symbols_(std::move(symbols)), added_(std::move(added)), file_(std::move(file)) {
  for (const auto& [id, symbol] : symbols_) ids_.emplace(symbol, id);
}

std::optional<std::int64_t> Tokens::find(std::string_view symbol) const {
  const auto found = ids_.find(symbol);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::int64_t Tokens::id(std::string_view symbol) const {
  const std::optional<std::int64_t> found = find(symbol);
  if (!found) refuse(file_, fmt::format("there is no token '{}', which layout sherpa needs", symbol));
  return *found;
}

Tokens read_tokens(const Model& model) {
  Symbols symbols;
  Ids added;
  if (model.has_file(kTokenizer)) {
    const json tokenizer = parse(model, kTokenizer);
    if (!tokenizer.is_object() || !tokenizer.contains("model") || !tokenizer["model"].is_object() ||
        !tokenizer["model"].contains("vocab"))
      refuse(kTokenizer, "there is no model.vocab");
    add_vocabulary(symbols, kTokenizer, tokenizer["model"]["vocab"]);
    if (tokenizer.contains("added_tokens")) add_added(symbols, added, tokenizer["added_tokens"]);
    return {std::move(symbols), std::move(added), kTokenizer};
  }
  if (!model.has_file(kVocabulary)) {
    refuse((model.folder() / kTokenizer).string(),
           "no such file; layout sherpa makes tokens.txt from it, or from vocab.json");
  }
  add_vocabulary(symbols, kVocabulary, parse(model, kVocabulary));
  if (model.has_file(kAdded)) {
    Symbols others;
    add_vocabulary(others, kAdded, parse(model, kAdded));
    for (const auto& [id, symbol] : others) added.insert(id);
    symbols.merge(others);
  }
  return {std::move(symbols), std::move(added), kVocabulary};
}

std::string byte_level_text(std::string_view symbol) {
  static const std::map<std::uint32_t, unsigned char> table = byte_table();
  std::string bytes;
  for (std::size_t i = 0; i < symbol.size();) {
    const auto [character, length] = decode(symbol.substr(i));
    const auto found = table.find(character);
    if (found == table.end()) return std::string(symbol);
    bytes += static_cast<char>(found->second);
    i += length;
  }
  return bytes;
}

std::string piece_text(std::string_view symbol) {
  constexpr std::string_view kSpace = "\u2581";
  constexpr std::size_t kByteLength = 6;  // <0x0A>
  const auto is_digit = [&](std::size_t i) {
    return std::isxdigit(static_cast<unsigned char>(symbol[i])) != 0;
  };
  if (symbol.size() == kByteLength && symbol.starts_with("<0x") && symbol.ends_with(">") && is_digit(3) &&
      is_digit(4))
    return {static_cast<char>(std::stoi(std::string(symbol.substr(3, 2)), nullptr, 16))};
  std::string text;
  for (std::size_t i = 0; i < symbol.size();) {
    const bool space = symbol.substr(i).starts_with(kSpace);
    text += space ? ' ' : symbol[i];
    i += space ? kSpace.size() : 1;
  }
  return text;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) {
      const bool padding = i + k > bytes.size();
      text += padding ? '=' : kDigits[group >> (18U - 6U * k) & 63U];
    }
  }
  return text;
}

}  // namespace onnxport::layout
