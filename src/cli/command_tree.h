/// The commands with their flags as data: for completions and the manual page.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace onnxport::cli {

struct FlagText {
  std::vector<std::string> names;    ///< "--dtype", "-m"; of an argument without a name: one without dashes
  std::string value;                 ///< name of its value, "DIR"; empty: it takes none
  std::vector<std::string> choices;  ///< the permitted values, if only these are
  std::string description, preset;   ///< `preset`: its default, as --help shows it
};

struct CommandText {
  std::string path;  ///< "export onnx"; empty: the program itself
  std::string description, footer;
  std::vector<FlagText> arguments, flags;
  std::vector<std::string> commands;  ///< inside of it, by name
};

/// The program and all of its commands, each before those inside of it.
std::vector<CommandText> command_tree(const CLI::App& app);

/// Scripts for `bash`, `zsh` and `fish`.
std::string completion(const std::vector<CommandText>& tree, const std::string& shell);
/// The manual page onnxport(1).
std::string manual_page(const std::vector<CommandText>& tree);

struct CompletionCommands {
  CLI::App *completion = nullptr, *manual = nullptr;
  std::string shell;
};

/// Adds the commands `completion` and `man` to the table. `commands` must outlive parsing.
void add_completion(CLI::App& app, CompletionCommands& commands);
/// Prints the script or the page. `app`: the whole table.
int run_completion(const CLI::App& app, const CompletionCommands& commands);

}  // namespace onnxport::cli
