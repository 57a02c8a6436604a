/// The list of models of `export-many`.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::batch {

/// One export.
struct Entry {
  std::size_t line = 0;  ///< its number in the list
  std::string model;
  std::vector<std::string> flags;  ///< those of all lines, then its own
  std::string key;                 ///< model and flags; equal if and only if the exports are
};

/// The words of a line as in a shell: blanks separate, quotes and backslashes keep them, and a word that
/// begins with # starts a comment. Throws ExportError(invalid_argument) for a quote without an end.
std::vector<std::string> split_words(std::string_view line);

/// The flags of all lines and those of one line, which replace flags of the same name with their values.
std::vector<std::string> join_flags(const std::vector<std::string>& common,
                                    const std::vector<std::string>& own);

/// The exports of a list. Lines that repeat an earlier one are left out, with a notice. Throws
/// ExportError(invalid_argument) that names the line.
std::vector<Entry> parse_list(const std::string& text, const std::vector<std::string>& flags,
                              const std::function<void(const std::string&)>& on_notice);

/// Reads the file, or the standard input for "-". Throws ExportError(io).
std::string read_list(const std::filesystem::path& path);

/// A name for the folder of a model: "org--name", the name of its own folder, or of its file.
std::string folder_name(const std::string& model);

}  // namespace onnxport::batch
