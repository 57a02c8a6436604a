#include "serialize/checkpoint_files.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "support/file.h"

namespace onnxport::serialize {

namespace fs = std::filesystem;

std::optional<std::string> CheckpointFiles::location(const Weight& weight) {
  const TensorView* view = weight.view();
  if (view == nullptr || !view->file || view->offset % size_of(view->dtype) != 0) return std::nullopt;
  std::string& location = locations_[view->file->identity()];
  if (location.empty()) location = find(*view);
  return location;
}

std::string CheckpointFiles::find(const TensorView& view) const {
  const fs::path& stored = view.file->path();
  const fs::path own_folder = fs::weakly_canonical(fs::absolute(stored).parent_path());
  fs::path relative = own_folder.lexically_relative(fs::weakly_canonical(fs::absolute(folder_)));
  if (relative.empty() || *relative.begin() == "..") relative.clear();  // the folder may hold the same file
  relative = (relative / stored.filename()).lexically_normal();

  const auto refuse = [&](const std::string& got, const std::string& advice) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--external-data checkpoint: {}: '{}' is there, but {}; {}",
                                  stored.string(), view.key, got, advice));
  };
  const std::string way_out = fmt::format("export into the checkpoint's own folder, {}", own_folder.string());
  const fs::path path = folder_ / relative;
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (!fs::exists(status))
    refuse(fmt::format("the output folder {} does not hold {}", folder_.string(), relative.string()),
           way_out);
  // The official checker treats links as a way out of the folder.
  const std::string copy = "expected a separate file: copy it there, or use --external-data auto";
  if (fs::is_symlink(status)) refuse(fmt::format("{} is a symbolic link", path.string()), copy);
  if (File::open(path)->identity() != view.file->identity())
    refuse(fmt::format("{} is another file", path.string()), way_out);
  if (const auto links = fs::hard_link_count(path, error); links > 1)
    refuse(fmt::format("{} has {} hard links", path.string(), links), copy);
  return relative.generic_string();
}

}  // namespace onnxport::serialize
