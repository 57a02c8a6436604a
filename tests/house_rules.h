/// The rules of docs/architecture.md as functions on text. house_test.cpp applies them to the repository.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::test {

/// A row of the table of rooms.
struct Room {
  std::string name;
  bool public_headers_only = false;  ///< of the rooms that it may call
  bool public_api = false;           ///< it may call every public header
  /// Rooms that it may call; where headers are named, these alone ("rebuild.h").
  std::map<std::string, std::set<std::string>> callees;
};

/// An include that the table of rooms does not cover.
struct PermittedInclude {
  std::string file, include;  ///< `*` stands for any characters
};

/// The tables of the section "Rooms".
struct HouseTables {
  std::map<std::string, Room> rooms;
  std::map<std::string, std::string>
      owners;  ///< room of a public header ("nn/*.h"); "all" where all may call it
  std::map<std::string, std::string> libraries;  ///< the one room of a library's header ("onnx/*")
  std::vector<PermittedInclude> permitted;
};

/// Throws std::runtime_error for a page without the tables, or with a row that cannot be read.
HouseTables read_house_tables(const std::string& page);

/// A source file of ours.
struct SourceFile {
  std::string path;  ///< from the root of the repository: "src/ir/dim.cpp"
  std::string text;
};

/// Includes that the tables do not permit, public headers without a room, and rows that nothing needs.
std::vector<std::string> room_complaints(const HouseTables& tables, const std::vector<SourceFile>& files);
/// Rooms that call each other, as in "a -> b -> a".
std::vector<std::string> circles(const HouseTables& tables);

/// Exceptions from a limit, each with its present number.
using Exceptions = std::map<std::string, std::size_t>;

/// The lines of a list that begin with `kind`: kind, name and number.
Exceptions read_exceptions(const std::string& list, std::string_view kind);

/// Numbers over the limit that are no exception, exceptions that grew, and exceptions that no longer are.
std::vector<std::string> limit_complaints(std::size_t limit,
                                          const std::map<std::string, std::size_t>& numbers,
                                          const Exceptions& exceptions);

/// The number of `bool` data members of each class of a header that has any: "Outer::Inner".
std::map<std::string, std::size_t> flags_of_classes(const std::string& header);

/// C++ without comments and literals.
std::string without_comments(const std::string& text);

/// Names of runtimes in a text, in code or comments, each with its line: "3: onnxruntime".
std::vector<std::string> runtimes_named(const std::string& text);

}  // namespace onnxport::test
