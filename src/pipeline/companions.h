/// Files that are copied along with a model.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "layout/layout.h"
#include "onnxport/modules.h"

namespace onnxport::pipeline {

/// The files of a model's folder that clients need besides the .onnx files: configurations, the files of the
/// tokenizer and the processor, and the folders of Sentence Transformers modules with their weights. The
/// names are those that the classes of transformers 4.57.6 and sentence-transformers 5.1.2 read.
class Companions {
 public:
  /// `modules`: the content of modules.json, empty if there is none.
  explicit Companions(std::vector<SentenceModule> modules = {});

  /// Whether a file is one of them. `path` is relative to the model's folder, with `/`.
  bool includes(std::string_view path) const;
  /// The folders that hold such files, relative to the model's folder: "", "1_Pooling", …
  const std::vector<std::string>& folders() const { return folders_; }
  /// The folder of config.json, the weights and the tokenizer: "", or that of the first module.
  const std::string& model_folder() const { return model_folder_; }
  /// The folders of the other modules, which have their own weights.
  const std::vector<std::string>& module_folders() const { return module_folders_; }

 private:
  std::string model_folder_;
  std::vector<std::string> module_folders_, folders_;
};

/// Copies a file; a reader sees the old one or the whole new one. Throws ExportError(io).
void copy_atomically(const std::filesystem::path& from, const std::filesystem::path& to);

/// Copies the companions of the model in `from` to `to`, creating it. Each copy is atomic. If the first
/// module has a folder of its own, its files are also copied to `to` itself, beside the .onnx file, unless
/// the model has files of these names there. `made_config`: the text of config.json if `from` has none that
/// describes the model; if the folders are the same, an existing one stays. Returns the written files,
/// sorted. Throws ExportError(io).
std::vector<std::filesystem::path> copy_companions(const std::filesystem::path& from,
                                                   const std::filesystem::path& to,
                                                   const std::string& made_config = {});

/// Writes the files of a layout, each atomically, and adds them to `written`. Throws ExportError(io).
void write_side_files(const std::vector<layout::SideFile>& files,
                      std::vector<std::filesystem::path>& written);

/// What is left out although the original can use it, as notices.
std::vector<std::string> left_out(const std::filesystem::path& from);

}  // namespace onnxport::pipeline
