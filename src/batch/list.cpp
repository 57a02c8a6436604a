#include "batch/list.h"

#include <fmt/format.h>

#include <cctype>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/fail.h"
#include "support/file.h"

namespace onnxport::batch {

namespace fs = std::filesystem;

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else if (c == '\\' && quote == '"' && i + 1 < line.size()) {
        word += line[++i];
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      inside = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
      inside = true;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
    } else if (c == '#' && !inside) {
      break;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != 0) fail(ErrorCode::invalid_argument, "a quote {} has no end", quote);
  if (inside) words.push_back(std::move(word));
  return words;
}

namespace {

/// "--dtype" of "--dtype=fp16"; empty for a value, such as -1.
std::string flag_of(const std::string& word) {
  const bool is_flag =
      word.size() > 1 && word[0] == '-' && std::isdigit(static_cast<unsigned char>(word[1])) == 0;
  return is_flag ? word.substr(0, word.find('=')) : "";
}

}  // namespace

std::vector<std::string> join_flags(const std::vector<std::string>& common,
                                    const std::vector<std::string>& own) {
  std::set<std::string> replaced;
  for (const std::string& word : own) replaced.insert(flag_of(word));
  replaced.erase("");
  std::vector<std::string> flags;
  bool keep = true;
  for (const std::string& word : common) {
    if (const std::string flag = flag_of(word); !flag.empty()) keep = !replaced.contains(flag);
    if (keep) flags.push_back(word);
  }
  flags.insert(flags.end(), own.begin(), own.end());
  return flags;
}

std::vector<Entry> parse_list(const std::string& text, const std::vector<std::string>& flags,
                              const std::function<void(const std::string&)>& on_notice) {
  std::vector<Entry> entries;
  std::map<std::string, std::size_t> lines;  // by key
  std::istringstream in(text);
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::vector<std::string> words;
    try {
      words = split_words(line);
    } catch (const ExportError& error) {
      fail(ErrorCode::invalid_argument, "line {} of the list: {}", number, error.what());
    }
    if (words.empty()) continue;
    if (words.front().starts_with('-')) {
      fail(ErrorCode::invalid_argument, "line {} of the list begins with the flag {}: expected a model",
           number, words.front());
    }
    Entry entry{number, words.front(), join_flags(flags, {words.begin() + 1, words.end()}), {}};
    for (const std::string& flag : entry.flags) {
      for (const char* own : {"-m", "--model", "--json", "-q", "--quiet", "--report", "--help"}) {
        if (flag == own || flag.starts_with(std::string(own) + "="))
          fail(ErrorCode::invalid_argument, "line {} of the list: {} cannot be set for an export of a list",
               number, own);
      }
    }
    nlohmann::json key = entry.flags;
    key.insert(key.begin(), entry.model);
    entry.key = key.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const auto [earlier, added] = lines.emplace(entry.key, number);
    if (added) {
      entries.push_back(std::move(entry));
    } else if (on_notice) {
      on_notice(fmt::format("line {} of the list repeats line {}", number, earlier->second));
    }
  }
  if (entries.empty()) fail(ErrorCode::invalid_argument, "the list has no model");
  return entries;
}

std::string read_list(const fs::path& path) {
  if (path != "-") return read_text_file(path);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

std::string folder_name(const std::string& model) {
  std::error_code error;
  std::string name = model;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  while (name.size() > 1 && (name.front() == '/' || name.front() == '-')) name.erase(0, 1);
  if (fs::exists(model, error)) {
    const fs::path path = fs::canonical(model);
    name = path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
  }
  std::string safe;
  for (const char c : name) {
    if (c == '/') {
      safe += "--";
    } else {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
      safe += plain ? c : '_';
    }
  }
  if (safe.empty() || safe.front() == '.') safe.insert(0, "model");
  return safe;
}

}  // namespace onnxport::batch
