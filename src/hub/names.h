/// Checks names from users and servers before they become parts of paths and addresses. The rules are those
/// of huggingface_hub 0.36.
#pragma once

#include <string>
#include <string_view>

namespace onnxport::hub {

/// Throws ExportError(invalid_argument) unless `id` is NAME or ORG/NAME: letters, digits, `.`, `_` and `-`,
/// no `-` or `.` at either end of a part, no `--` and no `..`, not `.git` at the end, a name of at most 96.
void check_repo_id(std::string_view id);

/// Throws ExportError(invalid_argument) unless this can be the name of a branch, tag or commit, and of a file
/// in `refs/`.
void check_revision(std::string_view revision);

/// Whether it consists of 40 hexadecimal digits in lower case.
bool is_commit(std::string_view text);

/// Whether it is a relative path with `/` that stays inside its folder. Every part is a plain name.
bool is_safe_path(std::string_view path);

/// Whether it can be the name of a blob.
bool is_safe_etag(std::string_view etag);

/// Escapes a part of an address: everything except letters, digits, `-`, `.`, `_`, `~` and those in `keep`
/// becomes %XX.
std::string quote(std::string_view text, std::string_view keep = "");

}  // namespace onnxport::hub
