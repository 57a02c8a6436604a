/// The vocabulary of a checkpoint's tokenizer, as tables of symbols for clients without a tokenizer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "onnxport/model.h"

namespace onnxport::layout {

/// Symbols by id.
class Tokens {
 public:
  /// `added`: tokens with a meaning, such as <|en|>, instead of a text.
  Tokens(std::map<std::int64_t, std::string> symbols, std::set<std::int64_t> added, std::string file);

  const std::map<std::int64_t, std::string>& symbols() const { return symbols_; }
  bool is_added(std::int64_t id) const { return added_.contains(id); }
  std::optional<std::int64_t> find(std::string_view symbol) const;
  /// Throws ExportError(bad_config) if the tokenizer has no such token.
  std::int64_t id(std::string_view symbol) const;

 private:
  std::map<std::int64_t, std::string> symbols_;
  std::map<std::string, std::int64_t, std::less<>> ids_;
  std::set<std::int64_t> added_;
  std::string file_;
};

/// From tokenizer.json, or else from vocab.json and added_tokens.json. Throws ExportError(bad_config) if
/// there is neither, or if one is not valid.
Tokens read_tokens(const Model& model);

/// The bytes of a symbol of a byte-level vocabulary, in which each character stands for a byte (GPT-2). A
/// symbol with other characters stays as it is.
std::string byte_level_text(std::string_view symbol);

/// The bytes of a symbol of SentencePiece: U+2581 is a space, and `<0x0A>` a byte.
std::string piece_text(std::string_view symbol);

std::string base64(std::string_view bytes);

}  // namespace onnxport::layout
