#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "onnxport/export.h"

namespace onnxport {
namespace {

using json = nlohmann::ordered_json;

std::string text_of(const json& report) { return report.dump(2, ' ', false, json::error_handler_t::replace); }

json describe(const Proof& proof) {
  return {{"fixtures", proof.fixtures},
          {"transformers", proof.versions},
          {"not_covered", proof.not_covered},
          {"covered_elsewhere", proof.covered_elsewhere}};
}

json describe(const std::vector<Drift>& drift) {
  json outputs = json::array();
  for (const Drift& one : drift) {
    json output = {{"name", one.output},
                   {"max_difference", one.max_difference},
                   {"mean_difference", one.mean_difference},
                   {"cosine", one.cosine}};
    if (one.agreement) output["agreement"] = *one.agreement;
    output["smallest_cosine"] = one.bound;
    output["passed"] = one.passed();
    outputs.push_back(std::move(output));
  }
  return outputs;
}

json describe(const ValidationReport& report) {
  json cases = json::array();
  for (const ValidationCase& one : report.cases) {
    json outputs = json::array();
    for (const OutputComparison& output : one.outputs) {
      outputs.push_back({{"name", output.name},
                         {"shape", output.shape},
                         {"reference_shape", output.reference_shape},
                         {"max_difference", output.max_difference},
                         {"tolerance", output.tolerance},
                         {"non_finite", output.non_finite},
                         {"reference_non_finite", output.reference_non_finite},
                         {"passed", output.passed}});
    }
    cases.push_back({{"name", one.name}, {"outputs", outputs}});
  }
  json described = {{"file", report.file.string()},
                    {"passed", report.passed()},
                    {"atol", report.atol},
                    {"problems", report.problems},
                    {"cases", cases},
                    {"seconds", report.seconds}};
  if (!report.drift.empty()) described["drift"] = describe(report.drift);
  if (report.proof) described["proof"] = describe(*report.proof);
  return described;
}

json describe(const ExportReport& report) {
  json files = json::array();
  for (const ExportedFile& file : report.files)
    files.push_back({{"path", file.path.string()}, {"bytes", file.bytes}});
  json quantization = json::array();
  for (const QuantizationReport& one : report.quantization) {
    quantization.push_back({{"variant", one.variant},
                            {"layers", one.layers},
                            {"tied", one.tied},
                            {"parameters", one.parameters},
                            {"bytes_before", one.bytes_before},
                            {"bytes_after", one.bytes_after}});
  }
  json validation = json::array();
  for (const ValidationReport& one : report.validation) validation.push_back(describe(one));
  return {{"ok", report.passed()},           {"model_type", report.model_type},
          {"library", report.library},       {"task", report.task},
          {"dtype", report.dtype},           {"opset", report.opset},
          {"parameters", report.parameters}, {"inputs", report.inputs},
          {"outputs", report.outputs},       {"files", files},
          {"quantization", quantization},    {"export_seconds", report.export_seconds},
          {"proof", describe(report.proof)}, {"validation", validation}};
}

}  // namespace

std::string to_json(const ExportReport& report) { return text_of(describe(report)); }

std::string to_json(const Proof& proof) { return text_of(describe(proof)); }

std::string to_json(const std::vector<ValidationReport>& reports) {
  if (reports.size() == 1) return text_of(describe(reports.front()));
  json list = json::array();
  for (const ValidationReport& report : reports) list.push_back(describe(report));
  return text_of(list);
}

}  // namespace onnxport
