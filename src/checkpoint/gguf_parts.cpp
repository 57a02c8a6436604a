// GGUF files in parts, and how to find them.
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "checkpoint/gguf.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport::gguf {
namespace {

namespace fs = std::filesystem;
constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;
constexpr std::string_view kExtension = ".gguf";

/// The name of a part of a split file: `<stem>-00002-of-00003.gguf`.
struct PartName {
  std::string stem;
  std::int64_t number, count;

  static std::optional<PartName> parse(std::string_view name) {
    constexpr std::string_view kPattern = "-ddddd-of-ddddd.gguf";
    if (name.size() <= kPattern.size()) return std::nullopt;
    const std::string_view end = name.substr(name.size() - kPattern.size());
    for (std::size_t i = 0; i < end.size(); ++i) {
      const bool digit = end[i] >= '0' && end[i] <= '9';
      if (kPattern[i] == 'd' ? !digit : end[i] != kPattern[i]) return std::nullopt;
    }
    const auto number = [&](std::size_t at) {
      std::int64_t value = 0;
      std::from_chars(end.data() + at, end.data() + at + 5, value);
      return value;
    };
    return PartName{std::string(name.substr(0, name.size() - kPattern.size())), number(1), number(10)};
  }

  std::string of(std::int64_t part) const { return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count); }
};

void check_entry(const GgufInfo& info, const std::string& file, std::string_view key, std::int64_t expected) {
  const auto got = info.integer(key);
  if (got == expected) return;
  fail(kBad, "'{}' in the metadata of {}: expected {}, got {}", key, file, expected,
       got ? std::to_string(*got) : "none");
}

}  // namespace

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return path.extension() == kExtension && fs::is_regular_file(path, ignored);
}

std::vector<std::string> choose(const std::vector<std::string>& names, const std::string& place,
                                const std::string& advice) {
  std::map<std::string, std::vector<std::string>> found;  // by name of the whole: its files
  for (const std::string& name : names) {
    if (!name.ends_with(kExtension)) continue;
    const auto part = PartName::parse(name);
    std::vector<std::string>& files = found[part ? part->of(0) : name];
    if (!files.empty()) continue;
    files = {part ? part->of(1) : name};
    for (std::int64_t i = 2; part && i <= part->count; ++i) files.push_back(part->of(i));
  }
  if (found.empty()) return {};
  if (found.size() == 1) return found.begin()->second;
  std::vector<std::string> firsts;
  for (const auto& [whole, files] : found) firsts.push_back(files.front());
  fail(kBad, "'{}' holds several .gguf files: {}; {}", place, text::join(firsts), advice);
}

fs::path find_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_file(entry.path())) names.push_back(entry.path().filename().string());
  }
  const auto chosen = choose(names, folder.string(), "give the file to export instead of the folder");
  return chosen.empty() ? fs::path() : folder / chosen.front();
}

Contents read(const fs::path& path) {
  const auto name = PartName::parse(path.filename().string());
  if (!name) {
    Contents whole = read_part(File::open(path));
    const auto parts = whole.info.integer("split.count");
    if (parts && *parts > 1) {
      fail(kBad, "{} is one of {} parts, but its name does not say so; restore its name, such as {}",
           path.filename().string(), *parts, PartName{path.stem().string(), 1, *parts}.of(1));
    }
    return whole;
  }
  if (name->count < 1 || name->number < 1 || name->number > name->count) {
    fail(kBad, "'{}' is not a part of a split file: expected part numbers from 1", path.string());
  }
  Contents all;
  for (std::int64_t i = 1; i <= name->count; ++i) {
    const std::string part_name = name->of(i);
    const fs::path part_path = path.parent_path() / part_name;
    std::error_code ignored;
    if (!fs::exists(part_path, ignored)) {
      fail(kBad, "part '{}' of {} is missing in '{}'; download it", part_name, path.filename().string(),
           path.parent_path().string());
    }
    Contents part = read_part(File::open(part_path));
    check_entry(part.info, part_name, "split.no", i - 1);
    check_entry(part.info, part_name, "split.count", name->count);
    if (i == 1) {
      all = std::move(part);
      continue;
    }
    for (StoredTensor& tensor : part.tensors) {
      if (!all.info.tensors.insert(part.info.tensors.extract(tensor.view.key)).inserted)
        fail(kBad, "tensor '{}' of {} is also in an earlier part", tensor.view.key, part_name);
      all.tensors.push_back(std::move(tensor));
    }
  }
  if (const auto total = all.info.integer("split.tensors.count");
      total && *total != static_cast<std::int64_t>(all.tensors.size())) {
    fail(kBad, "the parts of {} have {} tensors, expected {}", path.filename().string(), all.tensors.size(),
         *total);
  }
  return all;
}

}  // namespace onnxport::gguf
