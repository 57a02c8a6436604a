/// Small helpers for messages and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::text {

/// Levenshtein distance in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The `count` candidates most similar to `word`, best first, without any that share less than half of it.
std::vector<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates,
                                 std::size_t count = 3);
template <class Range>
std::vector<std::string> nearest(std::string_view word, const Range& candidates, std::size_t count = 3) {
  const std::vector<std::string_view> views(std::begin(candidates), std::end(candidates));
  return nearest(word, std::span<const std::string_view>(views), count);
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters, including dots.
bool glob_match(std::string_view pattern, std::string_view text);

/// Removes blanks and line ends at both ends.
std::string_view trimmed(std::string_view text);

/// Converts ASCII letters to lower case.
std::string lower(std::string_view text);

/// "512 B", "1.5 kB", "2.7 GB": decimal units, like disks and `df -H`.
std::string human_bytes(std::uint64_t bytes);

/// "a, b, c"
std::string join(std::span<const std::string> parts, std::string_view separator = ", ");
/// "'a', 'b', 'c'"
std::string join_quoted(std::span<const std::string> parts);

/// "[3, 4]", "[]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace onnxport::text
