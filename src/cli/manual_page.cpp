// The manual page, made from the table of flags.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/export_many.h"
#include "onnxport/error.h"
#include "onnxport/version.h"

namespace onnxport::cli {
namespace {

/// Text for troff: no requests at the start of lines, and dashes that can be copied.
std::string plain(std::string_view text) {
  std::string safe;
  bool start = true;
  for (const char c : text) {
    if (start && (c == '.' || c == '\'')) safe += "\\&";
    start = c == '\n';
    if (c == '\\') {
      safe += "\\e";
    } else if (c == '-') {
      safe += "\\-";
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

void add_flag(std::string& page, const FlagText& flag, bool argument) {
  std::vector<std::string> names;
  for (const std::string& name : flag.names)
    names.push_back(argument ? fmt::format("\\fI{}\\fR", plain(flag.value))
                             : fmt::format("\\fB{}\\fR", plain(name)));
  page += fmt::format(".TP\n{}", fmt::join(names, ", "));
  if (!argument && !flag.value.empty()) page += fmt::format(" \\fI{}\\fR", plain(flag.value));
  page += "\n" + plain(flag.description);
  if (!flag.choices.empty()) page += plain(fmt::format(" ({})", fmt::join(flag.choices, ", ")));
  if (!flag.preset.empty()) page += plain(fmt::format(" [{}]", flag.preset));
  page += "\n";
}

}  // namespace

std::string manual_page(const std::vector<CommandText>& tree) {
  std::string page = fmt::format(".TH ONNXPORT 1 \"\" \"onnxport {}\" \"User Commands\"\n", kVersion);
  page += ".SH NAME\nonnxport \\- " + plain("export Hugging Face checkpoints to validated ONNX files") + "\n";
  page += ".SH SYNOPSIS\n";
  for (const CommandText& command : tree) {
    if (!command.commands.empty()) continue;  // a group
    page += fmt::format(".B onnxport {}\n", plain(command.path));
    for (const FlagText& argument : command.arguments) page += fmt::format(".I {}\n", plain(argument.value));
    page += "[\\fIflags\\fR]\n.br\n";
  }
  page += ".SH DESCRIPTION\n" + plain(tree.front().description) + "\n";
  page += "No Python is needed. Each exported file is run in ONNX Runtime and compared with the model.\n";
  for (const CommandText& command : tree) {
    if (!command.commands.empty() && !command.path.empty()) continue;
    if (command.path.empty()) {
      page += ".SH FLAGS\n";
    } else {
      page += fmt::format(".SH {}\n{}.\n", plain(upper(command.path)), plain(command.description));
    }
    for (const FlagText& argument : command.arguments) add_flag(page, argument, true);
    for (const FlagText& flag : command.flags) add_flag(page, flag, false);
    if (!command.footer.empty()) page += ".PP\n" + plain(command.footer) + "\n";
  }
  page += ".SH EXIT STATUS\n";
  const std::pair<int, std::string_view> statuses[] = {
      {0, "Success; all validated outputs agree."},
      {1, "diff: the files differ. export-many: an export failed."},
      {exit_status(ErrorCode::invalid_argument), "The command line is wrong, or a plugin does not load."},
      {exit_status(ErrorCode::bad_config), "config.json or a companion file is missing or broken."},
      {exit_status(ErrorCode::bad_checkpoint), "Weights are missing, truncated, unexpected or inconsistent."},
      {exit_status(ErrorCode::unsupported), "The model type, task, library or option is not supported."},
      {exit_status(ErrorCode::shape), "The operands of an op do not fit."},
      {exit_status(ErrorCode::io), "Reading, writing or a download failed."},
      {exit_status(ErrorCode::validation_failed),
       "The exported file does not compute the same as the model."},
      {exit_status(ErrorCode::runtime), "ONNX Runtime was not found, or refuses the file."},
      {exit_status(ErrorCode::internal), "A bug in onnxport."},
      {kInterrupted, "export-many was stopped by Ctrl-C."},
  };
  for (const auto& [status, meaning] : statuses)
    page += fmt::format(".TP\n.B {}\n{}\n", status, plain(meaning));
  page += ".SH ENVIRONMENT\n.TP\n.B ONNXRUNTIME_ROOT\n" +
          plain("Folder whose lib/libonnxruntime.so is tried first.") + "\n" +
          ".TP\n.B HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE\n" +
          plain("The Hub: cache, token, address, and no network.") + "\n";
  return page;
}

}  // namespace onnxport::cli
