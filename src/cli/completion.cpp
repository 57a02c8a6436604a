// Scripts with which shells complete command lines. They are made from the table of flags, and do not start
// the program.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "cli/command_tree.h"

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

/// Until the first end of a sentence or a clause, which is enough beside a flag.
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

/// `case "$command/$word" in …`: which command a line is about. `make`: a branch from the text to match and
/// the command.
template <class Make>
std::string branches(const std::vector<CommandText>& tree, Make&& make) {
  std::string text;
  for (const CommandText& command : tree) {
    if (!command.path.empty())
      text += make(parent_of(command.path) + "/" + last_word(command.path), command.path);
  }
  return text;
}

std::vector<std::string> all_names(const CommandText& command) {
  std::vector<std::string> names;
  for (const FlagText& flag : command.flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

/// The flags of a command that take a value: "command --flag".
std::string patterns(const CommandText& command, const FlagText& flag) {
  std::vector<std::string> words;
  for (const std::string& name : flag.names) words.push_back(fmt::format("\"{} {}\"", command.path, name));
  return fmt::format("{}", fmt::join(words, " | "));
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
    case "$command/$word" in
)";
  text += branches(tree, [](const std::string& match, const std::string& path) {
    return fmt::format("      \"{}\") command=\"{}\" ;;\n", match, path);
  });
  text += R"(    esac
  done
  case "$command $flag" in
)";
  for (const CommandText& command : tree) {
    for (const FlagText& flag : command.flags) {
      if (flag.value.empty()) continue;
      text += fmt::format("    {}) words=\"{}\" ;;\n", patterns(command, flag), fmt::join(flag.choices, " "));
    }
  }
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
# Without a word of ours: files.
complete -o default -F _onnxport onnxport
)";
  return text;
}

/// "word:what it is", as _describe of zsh takes it.
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
    case "$command/$word" in
)";
  text += branches(tree, [](const std::string& match, const std::string& path) {
    return fmt::format("      \"{}\") command=\"{}\" ;;\n", match, path);
  });
  text += R"(    esac
  done
  case "$command ${words[CURRENT-1]}" in
)";
  for (const CommandText& command : tree) {
    for (const FlagText& flag : command.flags) {
      if (flag.value.empty()) continue;
      const std::string action =
          flag.choices.empty() ? "_files" : fmt::format("compadd {}", fmt::join(flag.choices, " "));
      text += fmt::format("    {}) {}; return ;;\n", patterns(command, flag), action);
    }
  }
  text += "  esac\n  case \"$command\" in\n";
  for (const CommandText& command : tree) {
    text += fmt::format("    \"{}\")\n      flags=(\n", command.path);
    for (const FlagText& flag : command.flags) {
      for (const std::string& name : flag.names)
        text += "        " + described(name, flag.description) + "\n";
    }
    text += "      )\n      commands=(\n";
    for (const CommandText& inner : tree) {
      if (!inner.path.empty() && parent_of(inner.path) == command.path)
        text += "        " + described(last_word(inner.path), inner.description) + "\n";
    }
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
  text += branches(tree, [](const std::string& match, const std::string& path) {
    return fmt::format("      case {}\n        set command {}\n", in_quotes(match), in_quotes(path));
  });
  text += R"(    end
  end
  test "$command" = "$argv[1]"
end
)";
  for (const CommandText& command : tree) {
    const std::string start = fmt::format("complete -c onnxport -n {}",
                                          in_quotes(fmt::format("__onnxport_at \"{}\"", command.path)));
    for (const CommandText& inner : tree) {
      if (inner.path.empty() || parent_of(inner.path) != command.path) continue;
      text += fmt::format("{} -f -a {} -d {}\n", start, last_word(inner.path),
                          in_quotes(brief(inner.description)));
    }
    for (const FlagText& argument : command.arguments) {
      if (!argument.choices.empty())
        text += fmt::format("{} -f -a {}\n", start,
                            in_quotes(fmt::format("{}", fmt::join(argument.choices, " "))));
    }
    for (const FlagText& flag : command.flags) {
      text += start;
      for (const std::string& name : flag.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.choices.empty()) {
        text += fmt::format(" -x -a {}", in_quotes(fmt::format("{}", fmt::join(flag.choices, " "))));
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
