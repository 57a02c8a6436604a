#include "pipeline/companions.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "support/atomic_file.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport::pipeline {
namespace {

namespace fs = std::filesystem;

// The files that clients look for beside model.onnx.
constexpr std::array kPatterns = {
    std::string_view("config.json"),
    std::string_view("generation_config.json"),
    std::string_view("*processor_config.json"),
    std::string_view("tokenizer*.json"),
    std::string_view("special_tokens_map.json"),
    std::string_view("added_tokens.json"),
    std::string_view("vocab*.json"),
    std::string_view("vocab*.txt"),
    std::string_view("merges.txt"),
    std::string_view("*.model"),
    std::string_view("chat_template*"),
    std::string_view("modules.json"),
    std::string_view("sentence_*_config.json"),
    std::string_view("config_sentence_transformers.json"),
    std::string_view("*.tiktoken"),
    std::string_view("bpe.codes"),
};

void copy_atomically(const fs::path& from, const fs::path& to) {
  const auto source = File::open(from);
  AtomicFile target(to);
  target.copy_from(*source, 0, 0, source->size());
  target.commit();
}

}  // namespace

bool is_module_folder(std::string_view name) {
  const std::size_t digits = name.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string_view::npos && name[digits] == '_';
}

bool is_companion(std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) {
    return std::any_of(kPatterns.begin(), kPatterns.end(),
                       [&](std::string_view pattern) { return text::glob_match(pattern, path); });
  }
  const std::string_view name = path.substr(slash + 1);
  return is_module_folder(path.substr(0, slash)) && name.find('/') == std::string_view::npos &&
         (name.ends_with(".json") || name.ends_with(".safetensors") || name == "pytorch_model.bin");
}

std::vector<fs::path> copy_companions(const fs::path& from, const fs::path& to,
                                      const std::string& made_config) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error) throw io_error("create the folder", to, error.value());
  std::vector<fs::path> written;
  const bool in_place = fs::equivalent(from, to, error);
  const fs::path config = to / "config.json";
  if (!made_config.empty() && !(in_place && fs::exists(config, error))) {
    AtomicFile target(config);
    target.append(made_config);
    target.commit();
    written.push_back(config);
  }
  if (in_place) return written;
  const auto copy_all = [&](const std::string& below) {  // "" or "1_Pooling/"
    for (const fs::directory_entry& entry : fs::directory_iterator(from / below)) {
      const std::string name = below + entry.path().filename().string();
      if (!entry.is_regular_file() || !is_companion(name)) continue;
      if (!made_config.empty() && name == "config.json") continue;
      fs::create_directories(to / below);
      copy_atomically(entry.path(), to / name);
      written.push_back(to / name);
    }
  };
  copy_all("");
  for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && is_module_folder(name)) copy_all(name + "/");
  }
  std::sort(written.begin(), written.end());
  return written;
}

}  // namespace onnxport::pipeline
