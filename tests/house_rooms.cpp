// The tables of rooms in docs/architecture.md, and includes against them.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>
#include <stdexcept>

#include "house_rules.h"

namespace onnxport::test {
namespace {

constexpr std::string_view kPublic = "include/onnxport/";
constexpr std::string_view kAll = "all";

std::string trimmed(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \r");
  if (start == std::string_view::npos) return {};
  return std::string(text.substr(start, text.find_last_not_of(" \r") - start + 1));
}

// Parts between separators that stand outside of parentheses.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == separator && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (std::string& part : parts) part = trimmed(part);
  return parts;
}

// The names in backticks.
std::vector<std::string> quoted(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t start = text.find('`'); start != std::string::npos;) {
    const std::size_t end = text.find('`', start + 1);
    if (end == std::string::npos) break;
    names.push_back(text.substr(start + 1, end - start - 1));
    start = text.find('`', end + 1);
  }
  return names;
}

// The rows of the table whose heading has this first and this last cell, as cells.
std::vector<std::vector<std::string>> table(const std::string& page, const std::string& first,
                                            const std::string& last) {
  std::istringstream lines(page);
  std::string line;
  const auto is_heading = [&] {
    return line.starts_with("| " + first + " |") && line.ends_with("| " + last + " |");
  };
  while (std::getline(lines, line) && !is_heading()) continue;
  if (!lines) throw std::runtime_error("the page has no table " + first + " … " + last);
  std::getline(lines, line);  // the rule below the heading
  std::vector<std::vector<std::string>> rows;
  while (std::getline(lines, line) && line.starts_with("|")) {
    std::vector<std::string> cells = split(line, '|');
    if (cells.size() < 4) throw std::runtime_error("too few cells: " + line);
    rows.emplace_back(cells.begin() + 1, cells.end() - 1);
  }
  return rows;
}

// "op, pass (`rebuild.h`)", "the public headers of ir, op", "all above", "the public API", "–"
void read_callees(Room& room, std::string text, const std::map<std::string, Room>& above) {
  constexpr std::string_view kPublicHeaders = "the public headers of ";
  if (text == "–") return;
  if (text.starts_with(kPublicHeaders)) {
    room.public_headers_only = true;
    text.erase(0, kPublicHeaders.size());
  }
  for (const std::string& entry : split(text, ',')) {
    const std::string name = trimmed(entry.substr(0, entry.find('(')));
    if (entry == "the public API") {
      room.public_api = true;
    } else if (entry == "all above") {
      for (const auto& [other, row] : above) room.callees[other];
    } else {
      std::set<std::string>& headers = room.callees[name];
      for (const std::string& word : quoted(entry)) headers.insert(word);
    }
  }
}

bool matches(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  for (std::size_t i = star; i <= text.size(); ++i) {
    if (matches(pattern.substr(star + 1), text.substr(i))) return true;
  }
  return false;
}

// The room of a source file: of a public header the table says it, of others the folder. Empty: none.
std::string room_of(const HouseTables& tables, std::string_view path) {
  if (path.starts_with(kPublic)) {
    for (const auto& [header, room] : tables.owners) {
      if (matches(header, path.substr(kPublic.size()))) return room;
    }
    return {};
  }
  path.remove_prefix(path.starts_with("src/") ? 4 : 0);
  const std::string folder(path.substr(0, path.find('/')));
  return path.find('/') != std::string_view::npos && tables.rooms.contains(folder) ? folder : std::string();
}

bool may_include(const HouseTables& tables, const std::string& caller, const std::string& include) {
  const bool is_public = include.starts_with("onnxport/");
  const std::string owner = room_of(tables, is_public ? "include/" + include : include);
  if (owner.empty()) return false;
  if (owner == caller || owner == kAll) return true;
  const auto room = tables.rooms.find(caller);
  if (room == tables.rooms.end()) return false;
  if (is_public && room->second.public_api) return true;
  const auto callee = room->second.callees.find(owner);
  if (callee == room->second.callees.end()) return false;
  if (!is_public && room->second.public_headers_only) return false;
  const std::string header = include.substr(include.rfind('/') + 1);
  return callee->second.empty() || callee->second.contains(header);
}

// The names in `#include "…"`, or those between other quotes.
std::vector<std::string> includes_of(const std::string& text, char open, char close) {
  const std::string start = std::string("#include ") + open;
  std::vector<std::string> includes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line = trimmed(line);
    if (line.starts_with(start))
      includes.push_back(line.substr(start.size(), line.rfind(close) - start.size()));
  }
  return includes;
}

// A library that belongs to another room.
bool is_foreign(const HouseTables& tables, const std::string& room, const std::string& include) {
  return std::any_of(tables.libraries.begin(), tables.libraries.end(), [&](const auto& library) {
    return matches(library.first, include) && library.second != room;
  });
}

}  // namespace

HouseTables read_house_tables(const std::string& page) {
  HouseTables tables;
  for (const std::vector<std::string>& row : table(page, "Folder", "May call")) {
    const std::vector<std::string> folders = quoted(row[0]);
    if (folders.size() != 1 || !folders[0].starts_with("src/")) continue;
    Room room;
    room.name = folders[0].substr(4, folders[0].size() - 5);
    read_callees(room, row.back(), tables.rooms);
    tables.rooms.emplace(room.name, room);
  }
  for (const std::vector<std::string>& row : table(page, "Room", "Its public headers")) {
    for (const std::string& header : quoted(row[1])) tables.owners.emplace(header, row[0]);
  }
  for (const std::vector<std::string>& row : table(page, "Library", "Only in")) {
    for (const std::string& header : quoted(row[1])) tables.libraries.emplace(header, row[2]);
  }
  for (const std::vector<std::string>& row : table(page, "File", "Why")) {
    for (const std::string& include : quoted(row[1]))
      tables.permitted.push_back({quoted(row[0]).at(0), include});
  }
  for (const auto& [name, room] : tables.rooms) {
    for (const auto& [callee, headers] : room.callees) {
      if (!tables.rooms.contains(callee))
        throw std::runtime_error(fmt::format("{} may call '{}': no such room", name, callee));
    }
  }
  return tables;
}

std::vector<std::string> room_complaints(const HouseTables& tables, const std::vector<SourceFile>& files) {
  std::vector<std::string> complaints;
  std::vector<bool> needed(tables.permitted.size());
  const auto permitted = [&](const std::string& file, const std::string& include) {
    bool found = false;
    for (std::size_t i = 0; i < needed.size(); ++i) {
      if (!matches(tables.permitted[i].file, file) || tables.permitted[i].include != include) continue;
      needed[i] = found = true;
    }
    return found;
  };
  for (const SourceFile& file : files) {
    const std::string room = room_of(tables, file.path);
    if (room.empty()) complaints.push_back(file.path + " belongs to no room");
    for (const std::string& include : includes_of(file.text, '<', '>')) {
      if (is_foreign(tables, room, include))
        complaints.push_back(fmt::format("{} ({}) must not include {}", file.path, room, include));
    }
    for (const std::string& include : includes_of(file.text, '"', '"')) {
      if (!may_include(tables, room, include) && !permitted(file.path, include))
        complaints.push_back(fmt::format("{} ({}) must not include {}", file.path, room, include));
    }
  }
  for (std::size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i])
      complaints.push_back(tables.permitted[i].file + " does not include " + tables.permitted[i].include +
                           " any more: remove the row");
  }
  for (const auto& [header, room] : tables.owners) {
    const bool exists =
        std::any_of(files.begin(), files.end(), [&, &header = header](const SourceFile& file) {
          return matches(std::string(kPublic) + header, file.path);
        });
    if (!exists)
      complaints.push_back("the table of public headers names " + header + ", which does not exist");
  }
  return complaints;
}

std::vector<std::string> circles(const HouseTables& tables) {
  std::vector<std::string> found;
  std::set<std::string> done;
  std::vector<std::string> way;
  const std::function<void(const std::string&)> visit = [&](const std::string& name) {
    if (std::find(way.begin(), way.end(), name) != way.end()) {
      std::string text;
      for (auto at = std::find(way.begin(), way.end(), name); at != way.end(); ++at) text += *at + " -> ";
      found.push_back(text + name);
      return;
    }
    if (!done.insert(name).second) return;
    way.push_back(name);
    for (const auto& [callee, headers] : tables.rooms.at(name).callees) visit(callee);
    way.pop_back();
  };
  for (const auto& [name, room] : tables.rooms) visit(name);
  return found;
}

}  // namespace onnxport::test
