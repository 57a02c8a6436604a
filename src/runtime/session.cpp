#include "runtime/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "runtime/library.h"
#include "runtime/providers.h"

namespace onnxport::runtime {
namespace {

// --- types -------------------------------------------------------------------------------------------------

constexpr std::pair<DType, ONNXTensorElementDataType> element_types[] = {
    {DType::f32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DType::f16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DType::bf16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16},
    {DType::f64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DType::i64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DType::i32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DType::i16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {DType::i8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {DType::u8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {DType::u16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {DType::u32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {DType::u64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {DType::boolean, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
};

ONNXTensorElementDataType element_type(DType dtype) {
  return std::ranges::find(element_types, dtype, [](const auto& pair) { return pair.first; })->second;
}

/// `what` names the tensor and the file, for the message.
DType dtype_of(ONNXTensorElementDataType type, std::string_view what) {
  const auto* found = std::ranges::find(element_types, type, [](const auto& pair) { return pair.second; });
  if (found == std::end(element_types)) {
    fail(fmt::format("{}: element type {} of onnx is not supported", what, static_cast<int>(type)));
  }
  return found->first;
}

/// Dtype and shape (-1 where symbolic) of a tensor type. `name` stays empty.
Session::Info describe(const OrtTensorTypeAndShapeInfo* type, const std::string& what) {
  const Library& ort = Library::get();
  Session::Info info;
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  ort.check(api().GetTensorElementType(type, &element), what);
  info.dtype = dtype_of(element, what);
  std::size_t rank = 0;
  ort.check(api().GetDimensionsCount(type, &rank), what);
  info.shape.resize(rank);
  ort.check(api().GetDimensions(type, info.shape.data(), rank), what);
  std::vector<const char*> symbols(rank);
  ort.check(api().GetSymbolicDimensions(type, symbols.data(), rank), what);
  info.symbols.assign(symbols.begin(), symbols.end());
  return info;
}

/// `file`: for messages.
Handle<OrtSessionOptions> make_settings(const std::string& file, const SessionOptions& options) {
  const Library& ort = Library::get();
  auto settings = make<OrtSessionOptions>(file, api().CreateSessionOptions);
  const auto configure = [&](const char* key, const char* value) {
    ort.check(api().AddSessionConfigEntry(settings.get(), key, value), file);
  };
  ort.check(api().SetSessionLogSeverityLevel(settings.get(), ORT_LOGGING_LEVEL_ERROR), file);
  ort.check(api().SetSessionGraphOptimizationLevel(settings.get(),
                                                   options.optimize ? ORT_ENABLE_ALL : ORT_DISABLE_ALL),
            file);
  // Without optimizations, a session is used once: copies of weights in another order cost more than they
  // save.
  if (!options.optimize) configure("session.disable_prepacking", "1");
  // By default, products of 4-bit integers with DequantizeLinear round activations to 8 bits.
  configure("session.qdq_matmulnbits_accuracy_level", "1");
  ort.check(api().SetIntraOpNumThreads(settings.get(), options.intra_op_threads), file);
  if (options.use != Use::service) configure("session.intra_op.allow_spinning", "0");
  if (options.use == Use::small_checks) {  // there is no such plan for nodes that may run side by side
    ort.check(api().SetSessionExecutionMode(settings.get(), ORT_PARALLEL), file);
    ort.check(api().SetInterOpNumThreads(settings.get(), 2), file);
    configure("session.inter_op.allow_spinning", "0");
  }
  add_provider(settings.get(), options.provider);
  return settings;
}

}  // namespace

// --- sessions ----------------------------------------------------------------------------------------------

struct Session::Impl {
  std::string file;  // for messages
  Handle<OrtSession> session;
  std::vector<Info> inputs, outputs;

  explicit Impl(std::string name) : file(std::move(name)) {}

  void open(Handle<OrtSession> made) {
    session = std::move(made);
    inputs =
        describe_all(api().SessionGetInputCount, api().SessionGetInputName, api().SessionGetInputTypeInfo);
    outputs =
        describe_all(api().SessionGetOutputCount, api().SessionGetOutputName, api().SessionGetOutputTypeInfo);
  }

  /// Names and types of all inputs, or of all outputs: `count`, `name` and `type` are the functions of the C
  /// API.
  template <class Count, class Name, class Type>
  std::vector<Info> describe_all(Count count, Name name, Type type) const {
    const Library& ort = Library::get();
    std::size_t size = 0;
    ort.check(count(session.get(), &size), file);
    std::vector<Info> infos;
    for (std::size_t i = 0; i < size; ++i) {
      const auto spelled = make<char>(file, name, session.get(), i, ort.allocator);
      const std::string what = fmt::format("{}: {}", file, spelled.get());
      const auto type_info = make<OrtTypeInfo>(what, type, session.get(), i);
      const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // owned by type_info
      ort.check(api().CastTypeInfoToTensorInfo(type_info.get(), &tensor), what);
      if (tensor == nullptr) fail(fmt::format("{} is not a tensor", what));
      infos.push_back(describe(tensor, what));
      infos.back().name = spelled.get();
    }
    return infos;
  }
};

Session::Session(const std::filesystem::path& model, const SessionOptions& options)
    : impl_(std::make_unique<Impl>(model.string())) {
  const std::string& file = impl_->file;
  const auto settings = make_settings(file, options);
  impl_->open(make<OrtSession>(file, api().CreateSession, Library::get().env, model.c_str(), settings.get()));
}

Session::Session(const std::string& model, const std::filesystem::path& folder, const SessionOptions& options)
    : impl_(std::make_unique<Impl>("a model in memory")) {
  const Library& ort = Library::get();
  const std::string& file = impl_->file;
  const auto settings = make_settings(file, options);
  ort.check(
      api().AddSessionConfigEntry(settings.get(), "session.model_external_initializers_file_folder_path",
                                  folder.empty() ? "." : folder.c_str()),
      file);
  impl_->open(make<OrtSession>(file, api().CreateSessionFromArray, ort.env,
                               static_cast<const void*>(model.data()), model.size(), settings.get()));
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

const std::vector<Session::Info>& Session::inputs() const { return impl_->inputs; }
const std::vector<Session::Info>& Session::outputs() const { return impl_->outputs; }

/// The arguments of a run. They refer to the tensors that they were made from.
struct Session::Call {
  std::vector<const char*> input_names, output_names;
  std::vector<Handle<OrtValue>> values;
  std::vector<const OrtValue*> input_values;

  Call(const Impl& session, const NamedTensors& inputs, const std::vector<std::string>& outputs) {
    const std::string& file = session.file;
    const auto memory =
        make<OrtMemoryInfo>(file, api().CreateCpuMemoryInfo, OrtArenaAllocator, OrtMemTypeDefault);
    for (const Info& info : session.inputs) {
      const Tensor* tensor = find(inputs, info.name);
      if (tensor == nullptr) fail(fmt::format("{}: no value was given for input {}", file, info.name));
      if (tensor->dtype != info.dtype) {  // ONNX Runtime would not say which input
        fail(fmt::format("{}: input {} is {}, expected {}", file, info.name, to_string(tensor->dtype),
                         to_string(info.dtype)));
      }
      // ONNX Runtime only reads inputs; an empty tensor still needs an address.
      static std::byte nothing{};
      auto* data = tensor->data.empty() ? &nothing : const_cast<std::byte*>(tensor->data.data());
      values.push_back(make<OrtValue>(fmt::format("{}: input {}", file, info.name),
                                      api().CreateTensorWithDataAsOrtValue, memory.get(),
                                      static_cast<void*>(data), tensor->data.size(), tensor->shape.data(),
                                      tensor->shape.size(), element_type(tensor->dtype)));
      input_names.push_back(info.name.c_str());
      input_values.push_back(values.back().get());
    }
    if (outputs.empty()) {
      for (const Info& info : session.outputs) output_names.push_back(info.name.c_str());
    } else {
      for (const std::string& name : outputs) output_names.push_back(name.c_str());
    }
  }

  std::vector<Handle<OrtValue>> run(const Impl& session) const {
    std::vector<OrtValue*> raw(output_names.size());
    OrtStatus* status = api().Run(session.session.get(), nullptr, input_names.data(), input_values.data(),
                                  input_values.size(), output_names.data(), output_names.size(), raw.data());
    std::vector<Handle<OrtValue>> results(raw.begin(), raw.end());  // owned before anything can throw
    Library::get().check(status, session.file);
    return results;
  }
};

NamedTensors Session::run(const NamedTensors& inputs, const std::vector<std::string>& outputs) const {
  const Library& ort = Library::get();
  const Call call(*impl_, inputs, outputs);
  const std::vector<Handle<OrtValue>> results = call.run(*impl_);
  NamedTensors named;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string what = fmt::format("{}: output {}", impl_->file, call.output_names[i]);
    const auto type = make<OrtTensorTypeAndShapeInfo>(what, api().GetTensorTypeAndShape, results[i].get());
    Info info = describe(type.get(), what);
    Tensor tensor(info.dtype, std::move(info.shape));
    void* data = nullptr;
    ort.check(api().GetTensorMutableData(results[i].get(), &data), what);
    if (!tensor.data.empty()) std::memcpy(tensor.data.data(), data, tensor.data.size());
    named.emplace_back(call.output_names[i], std::move(tensor));
  }
  return named;
}

void Session::time_runs(const NamedTensors& inputs, const std::function<bool(double)>& on_run) const {
  const Call call(*impl_, inputs, {});
  for (bool more = true; more;) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Handle<OrtValue>> results = call.run(*impl_);
    more = on_run(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

std::string version() { return Library::get().version; }

}  // namespace onnxport::runtime
