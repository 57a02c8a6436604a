#include "pipeline/companions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "support/atomic_file.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport::pipeline {
namespace {

namespace fs = std::filesystem;

// The constants of utils/__init__.py and utils/hub.py, and the VOCAB_FILES_NAMES of all tokenizers of
// transformers 4.57.6. A `*` stands where versions or languages are part of a name.
constexpr std::array kPatterns = {
    // configurations
    std::string_view("config.json"),
    std::string_view("generation_config.json"),
    std::string_view("*processor_config.json"),       // of processors, images and videos
    std::string_view("audio_tokenizer_config.json"),  // of processors with an audio codec
    std::string_view("sentence_*_config.json"),
    std::string_view("config_sentence_transformers.json"),
    std::string_view("modules.json"),
    // tokenizers
    std::string_view("tokenizer*.json"),
    std::string_view("special_tokens_map.json"),
    std::string_view("added_tokens.json"),
    std::string_view("vocab*.json"),  // fsmt: vocab-src.json, vocab-tgt.json
    std::string_view("vocab*.txt"),
    std::string_view("target_vocab.json"),  // marian
    std::string_view("merges.txt"),
    std::string_view("*.model"),  // sentencepiece.bpe.model, spiece.model, spm.model, tokenizer.model
    std::string_view("tokenizer.model.*"),
    std::string_view("*.spm"),  // marian: source.spm, target.spm
    std::string_view("*.tiktoken"),
    std::string_view("tekken.json"),
    std::string_view("normalizer.json"),  // whisper
    std::string_view("bpe.codes"),
    std::string_view("dict.txt"),              // bartpho
    std::string_view("prophetnet.tokenizer"),  // prophetnet
    std::string_view("byte_maps.json"),        // myt5
    std::string_view("emoji.json"),            // gpt_neox_japanese
    std::string_view("entity_vocab.json"),     // luke
    std::string_view("word_shape.json"),       // roc_bert
    std::string_view("word_pronunciation.json"),
    std::string_view("chat_template*"),
    // processors
    std::string_view("alphabet.json"),  // wav2vec2 with a language model
    std::string_view("speaker_embeddings_path.json"),
    // code of the repository's own, which `auto_map` of these configurations names
    std::string_view("configuration_*.py"),
    std::string_view("tokenization_*.py"),
    std::string_view("processing_*.py"),
    std::string_view("*_processing_*.py"),
    std::string_view("feature_extraction_*.py"),
};

constexpr std::string_view kTemplates = "additional_chat_templates";
constexpr std::string_view kLanguageModel = "language_model";  // of wav2vec2, beside alphabet.json

std::string joined(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : fmt::format("{}/{}", folder, name);
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void copy_atomically(const fs::path& from, const fs::path& to) {
  const auto source = File::open(from);
  AtomicFile target(to);
  target.copy_from(*source, 0, 0, source->size());
  target.commit();
}

Companions::Companions(std::vector<SentenceModule> modules) {
  if (!modules.empty()) {
    model_folder_ = modules.front().path;
    modules.erase(modules.begin());
  }
  folders_ = {""};
  const auto add = [&](const std::string& folder) {
    if (!contains(folders_, folder)) folders_.push_back(folder);
  };
  add(model_folder_);
  for (const std::string& folder : std::vector<std::string>(folders_)) {
    add(joined(folder, kTemplates));
    add(joined(folder, kLanguageModel));
  }
  for (const SentenceModule& module : modules) {
    add(module.path);
    if (module.path != model_folder_ && !contains(module_folders_, module.path))
      module_folders_.push_back(module.path);
  }
}

bool Companions::includes(std::string_view path) const {
  const std::size_t slash = path.rfind('/');
  const std::string_view folder = slash == path.npos ? "" : path.substr(0, slash);
  const std::string_view name = slash == path.npos ? path : path.substr(slash + 1);
  if (!contains(folders_, folder)) return false;
  if (contains(module_folders_, folder) &&
      (name.ends_with(".json") || name == "model.safetensors" || name == "pytorch_model.bin")) {
    return true;
  }
  if (folder.empty() || folder == model_folder_ || contains(module_folders_, folder)) {
    return std::any_of(kPatterns.begin(), kPatterns.end(),
                       [&](std::string_view pattern) { return text::glob_match(pattern, name); });
  }
  return folder.ends_with(kTemplates) ? name.ends_with(".jinja") : true;
}

std::vector<fs::path> copy_companions(const fs::path& from, const fs::path& to,
                                      const std::string& made_config) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error) throw io_error("create the folder", to, error.value());
  std::set<fs::path> written;
  const bool in_place = fs::equivalent(from, to, error);
  const fs::path config = to / "config.json";
  if (!made_config.empty() && !(in_place && fs::exists(config, error))) {
    AtomicFile target(config);
    target.append(made_config);
    target.commit();
    written.insert(config);
  }
  const Companions companions(read_modules(from));
  const auto copy = [&](const std::string& name, const fs::path& target) {
    fs::create_directories(target.parent_path());
    copy_atomically(from / name, target);
    written.insert(target);
  };
  for (const std::string& folder : companions.folders()) {
    if (in_place) break;
    for (const std::string& name : names_in(from / folder)) {
      const std::string path = joined(folder, name);
      const bool made = !made_config.empty() && path == "config.json";
      if (companions.includes(path) && !made) copy(path, to / path);
    }
  }
  const std::string& model_folder = companions.model_folder();
  for (const std::string& name :
       model_folder.empty() ? std::vector<std::string>() : names_in(from / model_folder)) {
    const std::string path = joined(model_folder, name);
    if (companions.includes(path) && !fs::exists(from / name) && !written.contains(to / name))
      copy(path, to / name);
  }
  return {written.begin(), written.end()};
}

void write_side_files(const std::vector<layout::SideFile>& files, std::vector<fs::path>& written) {
  for (const layout::SideFile& file : files) {
    AtomicFile target(file.path);
    target.append(file.text);
    target.commit();
    written.push_back(file.path);
  }
}

std::vector<std::string> left_out(const fs::path& from) {
  std::vector<std::string> adapters;
  for (const std::string& name : names_in(from)) {  // of wav2vec2, one per language
    if (text::glob_match("adapter.*.safetensors", name) || text::glob_match("adapter.*.bin", name))
      adapters.push_back(name);
  }
  if (adapters.empty()) return {};
  return {
      fmt::format("{} in {} {} left out: the export has the adapter that is part of the model's own weights",
                  adapters.size() == 1
                      ? adapters.front()
                      : fmt::format("{} and {} other adapter files", adapters.front(), adapters.size() - 1),
                  from.string(), adapters.size() == 1 ? "is" : "are")};
}

}  // namespace onnxport::pipeline
