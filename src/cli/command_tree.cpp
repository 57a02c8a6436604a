#include "cli/command_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "cli/output.h"

namespace onnxport::cli {
namespace {

/// "TEXT:{fp32,fp16}" tells the choices.
std::vector<std::string> choices_of(const std::string& type) {
  const std::size_t begin = type.find('{'), end = type.find('}');
  std::vector<std::string> choices;
  if (begin == type.npos || end == type.npos) return choices;
  std::istringstream list(type.substr(begin + 1, end - begin - 1));
  for (std::string one; std::getline(list, one, ',');) choices.push_back(one);
  return choices;
}

FlagText describe(const CLI::Option& option) {
  FlagText flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  if (flag.names.empty()) flag.names.push_back(option.get_name());
  if (option.get_expected_max() > 0) {
    const std::string type = option.get_type_name();
    flag.choices = choices_of(type);
    flag.value = type.substr(0, type.find(':'));
    if (flag.value.empty()) flag.value = "VALUE";
    flag.preset = option.get_default_str();
  }
  flag.description = option.get_description();
  return flag;
}

void add_options(const CLI::App& app, CommandText& command) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    (option->get_positional() ? command.arguments : command.flags).push_back(describe(*option));
  }
}

void visit(const CLI::App& app, const std::string& path, std::vector<CommandText>& tree) {
  CommandText command;
  command.path = path;
  command.description = app.get_description();
  command.footer = app.get_footer();
  add_options(app, command);
  std::vector<const CLI::App*> inner;
  for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (one->get_name().empty()) {  // a group of flags
      add_options(*one, command);
    } else {
      inner.push_back(one);
      command.commands.push_back(one->get_name());
    }
  }
  tree.push_back(std::move(command));
  for (const CLI::App* one : inner)
    visit(*one, path.empty() ? one->get_name() : path + " " + one->get_name(), tree);
}

}  // namespace

std::vector<CommandText> command_tree(const CLI::App& app) {
  std::vector<CommandText> tree;
  visit(app, "", tree);
  return tree;
}

void add_completion(CLI::App& app, CompletionCommands& commands) {
  commands.completion = app.add_subcommand("completion", "Print a script that completes command lines");
  commands.completion->add_option("shell", commands.shell, "Shell that reads the script")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  commands.completion->footer("Example: source <(onnxport completion bash)");
  commands.manual = app.add_subcommand("man", "Print the manual page, for man -l -");
}

int run_completion(const CLI::App& app, const CompletionCommands& commands) {
  const std::vector<CommandText> tree = command_tree(app);
  const std::string text = *commands.manual ? manual_page(tree) : completion(tree, commands.shell);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace onnxport::cli
