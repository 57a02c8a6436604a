/// Names that come from users and servers, before they become parts of paths and addresses. The rules are
/// those of huggingface_hub 0.36.
#pragma once

#include <string>
#include <string_view>

namespace onnxport::hub {

/// Throws ExportError(invalid_argument) unless `id` is NAME or ORG/NAME: letters, digits, `.`, `_` and `-`,
/// no `-` or `.` at either end of a part, no `--` and no `..`, not `.git` at the end, a name of at most 96.
void check_repo_id(std::string_view id);

/// Throws ExportError(invalid_argument) unless a branch, tag or commit can have this name, and a file in
/// `refs/` too.
void check_revision(std::string_view revision);

/// 40 hexadecimal digits in lower case?
bool is_commit(std::string_view text);

/// Is it a relative path with `/` that stays below its folder? Every part is a plain name.
bool is_safe_path(std::string_view path);

/// Can it be the name of a blob?
bool is_safe_etag(std::string_view etag);

/// For a part of an address: everything but letters, digits, `-`, `.`, `_`, `~` and those in `keep` as %XX.
std::string quote(std::string_view text, std::string_view keep = "");

}  // namespace onnxport::hub
