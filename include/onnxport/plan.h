/// Plans: an export as data. make_plan() makes a plan from a model and a request, and run_plan() (export.h)
/// makes its files. A batch of exports is a list of plans.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/dummy_inputs.h"
#include "onnxport/export_macro.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"
#include "onnxport/recipe.h"

namespace onnxport {

/// A file made of two components: an `If` on use_cache_branch, whose branches share their weights.
struct Merge {
  std::string name;
  std::string stem;  ///< of its file
  std::string folder = {};
  std::string without_past, with_past;  ///< names of the components
};

/// The computation of gelu. In the second case, every exact gelu becomes its tanh approximation.
enum class Gelu { as_defined, tanh };

/// The same components in one precision.
struct Variant {
  std::string name = "default";
  std::string suffix = {};  ///< of the files' stems
  DType dtype = DType::f32;
  Gelu gelu = Gelu::as_defined;
  Recipe recipe = {};  ///< how weights are quantized
  std::vector<std::string> files =
      {};  ///< components and merges that are made in this precision, by name; empty: all
};

/// Names, folders and side files that a client expects.
struct ONNXPORT_API Layout {
  std::string name = "optimum";
  std::filesystem::path folder = {};            ///< where the export is written
  std::string shared_data = "model.onnx_data";  ///< external data of several files in one

  std::string shared_data_of(const Variant& variant) const;
  /// Whether components that a merge contains have no files of their own.
  bool only_merged() const;
  /// Whether models in half precision take and return float32, except states.
  bool float32_io() const;
  std::filesystem::path path(const Component& component, const Variant& variant) const;
  std::filesystem::path path(const Merge& merge, const Variant& variant) const;
};

/// How to split a model with an encoder and a decoder, or several towers, into files.
enum class Split {
  merged,    ///< as the type defines, plus a file that merges the decoders with and without past
  apart,     ///< as the type defines
  monolith,  ///< one file
};

/// The request for an export.
struct PlanRequest {
  std::string dtype = "fp32";       ///< fp32, fp16, bf16
  std::string int_dtype = "int64";  ///< of integer inputs: int64, int32, int8
  std::string variant = "default";  ///< of the interface: one of OnnxConfig::variants()
  InterfaceOptions interface_options = {};
  int opset = 0;  ///< 0: the default of the configuration class
  Gelu gelu = Gelu::as_defined;
  Split split = Split::merged;
  bool legacy = false;
  DummyShapes shapes = {};   ///< extents of static axes and of validation inputs
  bool dynamic_axes = true;  ///< false: all extents are the numbers in `shapes`
  std::filesystem::path output = {};
  std::string layout = "optimum";  ///< Layout::name: optimum, genai, transformers.js, …
  Recipe recipe = {};              ///< of the only variant, in `dtype`
  /// If it is not empty, one variant for each, with the suffixes of their names; instead of `dtype` and
  /// `recipe`. If all of them name their files, files that none names are made in float32.
  std::vector<Precision> precisions = {};
};

/// The plan of one export.
struct ONNXPORT_API ExportPlan {
  Model model;  ///< a handle: nothing is loaded
  int opset = 18;
  std::vector<Component> components = {};
  std::vector<Merge> merges = {};
  std::vector<Variant> variants = {};
  Layout layout = {};

  /// Whether the component's file would only repeat a part of a merge, and the layout leaves it out.
  bool is_left_out(const Component& component) const;
  /// Throws ExportError(internal) if the plan has no such component.
  const Component& component(std::string_view name) const;
  /// The first variant that makes the component's file.
  const Variant& variant_of(const Component& component) const;
  /// The plan of one variant alone, with the files that it makes. A merge brings its components with it.
  ExportPlan part(const Variant& variant) const;
};

/// Makes the plan of an export. Throws ExportError(invalid_argument) for an unknown dtype, variant or layout,
/// ExportError(unsupported) if the task cannot be split as requested or ids do not fit the dtype of integer
/// inputs, and ExportError(bad_config) for invalid sizes in config.json.
ONNXPORT_API ExportPlan make_plan(const Model& model, const PlanRequest& request = {});

/// The component in another dtype: its states, and its float inputs unless `float32_io`.
ONNXPORT_API Component in_dtype(Component component, DType dtype, bool float32_io = false);

}  // namespace onnxport
