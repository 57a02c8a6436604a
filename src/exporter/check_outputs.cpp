#include "exporter/check_outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

/// Whether this is a length after strides that has the name of the length before them, or a length that has a
/// name of its own, which no input has.
bool comes_from(const Dim& dim, const Dim& called, const std::set<std::string>& known) {
  if (called.is_symbol() && !known.contains(called.str())) return true;
  if (!dim.has_floor()) return false;
  const std::vector<std::string> own = dim.symbols(), names = called.symbols();
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return !known.contains(name) || std::find(own.begin(), own.end(), name) != own.end();
  });
}

/// Whether `dim` is min(`length`, an integer).
bool is_bounded(const Dim& dim, const Dim& length) {
  const std::vector<Dim::Term> terms = dim.terms();
  if (terms.size() != 1 || terms[0].coefficient != 1 || terms[0].factors.size() != 1) return false;
  const std::optional<Dim::Atom> atom = Dim::open_atom(terms[0].factors[0]);
  return atom && atom->minimum && atom->expression == length;
}

/// The symbols in the names of all axes of the inputs.
std::set<std::string> known_symbols(const Interface& interface) {
  std::set<std::string> known;
  for (const TensorSpec& input : interface.inputs) {
    for (const auto& [axis, called] : input.axes) {
      for (const std::string& part : Dim::parse(called.name).symbols()) known.insert(part);
    }
  }
  return known;
}

/// A file without a past has a past of length 0, so symbols that no input has are 0.
std::map<std::string, Dim, std::less<>> absent_symbols(const Interface& interface,
                                                       const std::set<std::string>& known) {
  std::map<std::string, Dim, std::less<>> absent;
  for (const TensorSpec& output : interface.outputs) {
    for (const auto& [axis, called] : output.axes) {
      if (called.name.find('+') == called.name.npos) continue;
      for (const std::string& part : called.length.symbols()) {
        if (!known.contains(part)) absent[part] = 0;
      }
    }
  }
  return absent;
}

}  // namespace

void check_outputs(const NamedValues& outputs, const Interface& interface, const std::string& definition) {
  std::vector<std::string> given;
  given.reserve(outputs.size());
  for (const auto& [name, value] : outputs) given.push_back(name);
  if (given != interface.output_names()) {
    throw ExportError(
        ErrorCode::internal,
        fmt::format("{} returns the outputs {}, but its configuration class lists {}", definition,
                    text::join_quoted(given), text::join_quoted(interface.output_names())));
  }
  const std::set<std::string> known = known_symbols(interface);
  const auto absent = absent_symbols(interface, known);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [name, value] = outputs[i];
    if (!value) {
      throw ExportError(ErrorCode::internal,
                        fmt::format("{} returns no value for output '{}'", definition, name));
    }
    for (const auto& [axis, called] : interface.outputs[i].axes) {
      const Dim& dim = value.dim(axis);
      if (dim.constant()) continue;
      const Dim length = called.length.substitute(absent);
      if (dim == length || is_bounded(dim, length) || comes_from(dim, length, known)) continue;
      throw ExportError(
          ErrorCode::shape,
          fmt::format("{}: axis {} of output '{}' {} is '{}', but its configuration class calls it '{}'",
                      definition, axis, name, to_string(value.shape()), dim.str(), called.name));
    }
  }
}

}  // namespace onnxport::exporter
