// Scripts for the completion of command lines. They are made from the table of flags, and do not start the
// program.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "cli/command_tree.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

/// 'text', for all three shells. A quote in a text becomes a typographic one.
std::string in_quotes(std::string_view text) {
  std::string safe = "'";
  for (const char c : text) {
    if (c == '\'') {
      safe += "’";
    } else if (c == '\n') {
      safe += ' ';
    } else {
      safe += c;
    }
  }
  return safe + "'";
}

/// The first clause of a description, which is enough beside a flag.
std::string brief(const std::string& description) {
  const std::size_t end = description.find_first_of(";:,(\n");
  std::string text = description.substr(0, end);
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

std::string last_word(const std::string& path) { return path.substr(path.rfind(' ') + 1); }
std::string parent_of(const std::string& path) {
  const std::size_t end = path.rfind(' ');
  return end == path.npos ? "" : path.substr(0, end);
}

/// "parent/word": the pattern for this command in a loop over the words of a line.
std::string step_to(const std::string& path) { return parent_of(path) + "/" + last_word(path); }

/// The commands directly inside of another one.
std::vector<const CommandText*> commands_inside(const std::vector<CommandText>& tree,
                                                const CommandText& command) {
  std::vector<const CommandText*> inside;
  for (const CommandText& one : tree) {
    if (!one.path.empty() && parent_of(one.path) == command.path) inside.push_back(&one);
  }
  return inside;
}

/// The body of a loop in bash and zsh that finds the command of a line.
std::string find_command(const std::vector<CommandText>& tree) {
  std::string text = "    case \"$command/$word\" in\n";
  for (const CommandText& command : tree) {
    if (!command.path.empty())
      text += fmt::format("      \"{}\") command=\"{}\" ;;\n", step_to(command.path), command.path);
  }
  return text + "    esac\n";
}

std::vector<std::string> all_names(const CommandText& command) {
  std::vector<std::string> names;
  for (const FlagText& flag : command.flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

/// Branches of bash and zsh for the words after flags that take a value: "command --flag". `make`: the action
/// for a flag.
template <class Make>
std::string value_branches(const std::vector<CommandText>& tree, Make&& make) {
  std::string text;
  for (const CommandText& command : tree) {
    for (const FlagText& flag : command.flags) {
      if (flag.value.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag.names)
        patterns.push_back(fmt::format("\"{} {}\"", command.path, name));
      text += fmt::format("    {}) {} ;;\n", text::join(patterns, " | "), make(flag));
    }
  }
  return text;
}

std::string bash(const std::vector<CommandText>& tree) {
  std::string text = R"(# Completion of onnxport for bash. Made by: onnxport completion bash
_onnxport() {
  local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]} command= words= word i
  # bash takes --flag=value for three words.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $flag == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
)";
  text += find_command(tree);
  text += R"(  done
  case "$command $flag" in
)";
  text += value_branches(
      tree, [](const FlagText& flag) { return fmt::format("words=\"{}\"", fmt::join(flag.choices, " ")); });
  text += R"(    *)
      case "$command" in
)";
  for (const CommandText& command : tree) {
    std::vector<std::string> words = command.commands;
    for (const FlagText& argument : command.arguments)
      words.insert(words.end(), argument.choices.begin(), argument.choices.end());
    text += fmt::format("        \"{}\")\n          words=\"{}\"\n", command.path, fmt::join(words, " "));
    text += fmt::format("          [[ $cur == -* ]] && words=\"{}\"\n          ;;\n",
                        fmt::join(all_names(command), " "));
  }
  text += R"(      esac
      ;;
  esac
  COMPREPLY=()
  [[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
# Where the script offers no word, bash offers files.
complete -o default -F _onnxport onnxport
)";
  return text;
}

/// "word:description", as _describe of zsh takes it.
std::string described(const std::string& word, const std::string& description) {
  return in_quotes(word + ":" + brief(description));
}

std::string zsh(const std::vector<CommandText>& tree) {
  std::string text = R"(#compdef onnxport
# Completion of onnxport for zsh. Made by: onnxport completion zsh
_onnxport() {
  local command= word
  local -a flags commands
  for word in ${words[2,CURRENT-1]}; do
)";
  text += find_command(tree);
  text += R"(  done
  case "$command ${words[CURRENT-1]}" in
)";
  text += value_branches(tree, [](const FlagText& flag) {
    return (flag.choices.empty() ? "_files" : "compadd " + text::join(flag.choices, " ")) + "; return";
  });
  text += "  esac\n  case \"$command\" in\n";
  for (const CommandText& command : tree) {
    text += fmt::format("    \"{}\")\n      flags=(\n", command.path);
    for (const FlagText& flag : command.flags) {
      for (const std::string& name : flag.names)
        text += "        " + described(name, flag.description) + "\n";
    }
    text += "      )\n      commands=(\n";
    for (const CommandText* inner : commands_inside(tree, command))
      text += "        " + described(last_word(inner->path), inner->description) + "\n";
    for (const FlagText& argument : command.arguments) {
      for (const std::string& choice : argument.choices)
        text += "        " + described(choice, argument.description) + "\n";
    }
    text += "      )\n      ;;\n";
  }
  text += R"(  esac
  if [[ $PREFIX == -* ]]; then
    _describe flag flags
  elif (( $#commands )); then
    _describe command commands
  else
    _files
  fi
}
if [[ $funcstack[1] == _onnxport ]]; then
  _onnxport "$@"
else
  compdef _onnxport onnxport
fi
)";
  return text;
}

std::string fish(const std::vector<CommandText>& tree) {
  std::string text = R"(# Completion of onnxport for fish. Made by: onnxport completion fish
function __onnxport_at --description 'Whether the line is about this command'
  set -l command ''
  for word in (commandline -opc)[2..]
    switch "$command/$word"
)";
  for (const CommandText& command : tree) {
    if (!command.path.empty())
      text += fmt::format("      case {}\n        set command {}\n", in_quotes(step_to(command.path)),
                          in_quotes(command.path));
  }
  text += R"(    end
  end
  test "$command" = "$argv[1]"
end
)";
  for (const CommandText& command : tree) {
    const std::string start = fmt::format("complete -c onnxport -n {}",
                                          in_quotes(fmt::format("__onnxport_at \"{}\"", command.path)));
    for (const CommandText* inner : commands_inside(tree, command)) {
      text += fmt::format("{} -f -a {} -d {}\n", start, last_word(inner->path),
                          in_quotes(brief(inner->description)));
    }
    for (const FlagText& argument : command.arguments) {
      if (!argument.choices.empty())
        text += fmt::format("{} -f -a {}\n", start, in_quotes(text::join(argument.choices, " ")));
    }
    for (const FlagText& flag : command.flags) {
      text += start;
      for (const std::string& name : flag.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.choices.empty()) {
        text += fmt::format(" -x -a {}", in_quotes(text::join(flag.choices, " ")));
      } else if (!flag.value.empty()) {
        text += " -r";
      }
      text += fmt::format(" -d {}\n", in_quotes(brief(flag.description)));
    }
  }
  return text;
}

}  // namespace

std::string completion(const std::vector<CommandText>& tree, const std::string& shell) {
  if (shell == "bash") return bash(tree);
  return shell == "zsh" ? zsh(tree) : fish(tree);
}

}  // namespace onnxport::cli
