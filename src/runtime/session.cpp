#include "runtime/session.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "onnxport/error.h"
#include "runtime/library_path.h"

namespace onnxport::runtime {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw ExportError(ErrorCode::runtime, message); }

// --- the library -------------------------------------------------------------------------------------------

/// Files of a folder that may be ONNX Runtime, best first: the plain name, then versioned ones.
std::vector<fs::path> candidates_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Opens the first library of the documented search order.
void* open_library() {
  std::vector<fs::path> paths;
  std::vector<std::string> looked_in;
  const auto add_folder = [&](const fs::path& folder) {
    looked_in.push_back(folder.string());
    std::ranges::move(candidates_in(folder), std::back_inserter(paths));
  };
  if (const char* root = std::getenv("ONNXRUNTIME_ROOT"); root != nullptr && *root != '\0') {
    add_folder(fs::path(root) / "lib");
  }
  if (const fs::path& found = library_path(); !found.empty()) {
    looked_in.push_back(found.string());
    paths.push_back(found);
  }
  std::error_code ec;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", ec); !ec) {
    add_folder(program.parent_path());
    add_folder(program.parent_path().parent_path() / "lib");
  }
#ifdef ONNXPORT_DEFAULT_ORT_LIBRARY
  looked_in.emplace_back(ONNXPORT_DEFAULT_ORT_LIBRARY);
  if (fs::exists(ONNXPORT_DEFAULT_ORT_LIBRARY, ec)) paths.emplace_back(ONNXPORT_DEFAULT_ORT_LIBRARY);
#endif
  looked_in.emplace_back("the system's search path");
  paths.insert(paths.end(), {"libonnxruntime.so", "libonnxruntime.so.1"});

  std::string refused;  // a library that is there but does not load is worth telling about
  for (const fs::path& path : paths) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    if (path.has_parent_path()) refused += fmt::format("; {}", dlerror());
  }
  fail(fmt::format(
      "onnx runtime was not found: looked in {}{}; install it or set ONNXRUNTIME_ROOT to the folder that "
      "holds lib/libonnxruntime.so",
      fmt::join(looked_in, ", "), refused));
}

/// ONNX Runtime's C API and environment, opened at the first use and kept until the process ends.
class Library {
 public:
  static const Library& get() {
    static const Library library;  // a failed construction is tried again at the next call
    return library;
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { api->ReleaseEnv(env); }

  /// Turns a status into an exception with ONNX Runtime's message.
  void check(OrtStatus* status, std::string_view what) const {
    if (status == nullptr) return;
    std::string words = api->GetErrorMessage(status);
    api->ReleaseStatus(status);
    std::ranges::replace(words, '\n', ' ');
    fail(fmt::format("{}: onnx runtime {}: {}", what, version, words));
  }

  std::string version;
  const OrtApi* api = nullptr;
  OrtEnv* env = nullptr;
  OrtAllocator* allocator = nullptr;  // the default one: not ours to release

 private:
  Library() {
    void* handle = open_library();
    const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
    if (get_base == nullptr) fail("onnx runtime: the library found lacks OrtGetApiBase");
    version = get_base()->GetVersionString();
    // The table only grows, so an older library works too. Everything used here exists since 1.4.
    const auto minor = static_cast<std::uint32_t>(std::atoi(version.substr(version.find('.') + 1).c_str()));
    api = get_base()->GetApi(std::min<std::uint32_t>(minor, ORT_API_VERSION));
    if (api == nullptr) fail(fmt::format("onnx runtime {} does not offer its C API", version));
    check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "onnxport", &env), "starting");
    check(api->DisableTelemetryEvents(env), "starting");
    check(api->GetAllocatorWithDefaultOptions(&allocator), "starting");
  }
};

const OrtApi& api() { return *Library::get().api; }

struct Release {
  void operator()(OrtSession* p) const { api().ReleaseSession(p); }
  void operator()(OrtSessionOptions* p) const { api().ReleaseSessionOptions(p); }
  void operator()(OrtMemoryInfo* p) const { api().ReleaseMemoryInfo(p); }
  void operator()(OrtTypeInfo* p) const { api().ReleaseTypeInfo(p); }
  void operator()(OrtTensorTypeAndShapeInfo* p) const { api().ReleaseTensorTypeAndShapeInfo(p); }
  void operator()(OrtValue* p) const { api().ReleaseValue(p); }
  void operator()(char* p) const { Library::get().allocator->Free(Library::get().allocator, p); }
};
template <class T>
using Handle = std::unique_ptr<T, Release>;

/// Calls a function of the C API whose last parameter receives a new object.
template <class T, class... Params, class... Args>
Handle<T> make(std::string_view what, OrtStatus* (*function)(Params...), Args... args) {
  T* made = nullptr;
  Library::get().check(function(args..., &made), what);
  return Handle<T>(made);
}

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

}  // namespace

// --- sessions ----------------------------------------------------------------------------------------------

struct Session::Impl {
  std::string file;
  Handle<OrtSession> session;
  std::vector<Info> inputs, outputs;

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
    : impl_(std::make_unique<Impl>()) {
  const Library& ort = Library::get();
  const std::string& file = impl_->file = model.string();
  const auto settings = make<OrtSessionOptions>(file, api().CreateSessionOptions);
  ort.check(api().SetSessionLogSeverityLevel(settings.get(), ORT_LOGGING_LEVEL_ERROR), file);
  ort.check(api().SetSessionGraphOptimizationLevel(settings.get(),
                                                   options.optimize ? ORT_ENABLE_ALL : ORT_DISABLE_ALL),
            file);
  // By default, products of 4-bit integers with DequantizeLinear round activations to 8 bits.
  ort.check(api().AddSessionConfigEntry(settings.get(), "session.qdq_matmulnbits_accuracy_level", "1"), file);
  ort.check(api().SetIntraOpNumThreads(settings.get(), options.intra_op_threads), file);
  impl_->session = make<OrtSession>(file, api().CreateSession, ort.env, model.c_str(), settings.get());
  impl_->inputs = impl_->describe_all(api().SessionGetInputCount, api().SessionGetInputName,
                                      api().SessionGetInputTypeInfo);
  impl_->outputs = impl_->describe_all(api().SessionGetOutputCount, api().SessionGetOutputName,
                                       api().SessionGetOutputTypeInfo);
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

const std::vector<Session::Info>& Session::inputs() const { return impl_->inputs; }
const std::vector<Session::Info>& Session::outputs() const { return impl_->outputs; }

NamedTensors Session::run(const NamedTensors& inputs, const std::vector<std::string>& outputs) const {
  const Library& ort = Library::get();
  const std::string& file = impl_->file;
  const auto memory =
      make<OrtMemoryInfo>(file, api().CreateCpuMemoryInfo, OrtArenaAllocator, OrtMemTypeDefault);

  std::vector<const char*> input_names, output_names;
  std::vector<Handle<OrtValue>> values;
  std::vector<const OrtValue*> input_values;
  for (const Info& info : impl_->inputs) {
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
    for (const Info& info : impl_->outputs) output_names.push_back(info.name.c_str());
  } else {
    for (const std::string& name : outputs) output_names.push_back(name.c_str());
  }

  std::vector<OrtValue*> raw(output_names.size());
  OrtStatus* status = api().Run(impl_->session.get(), nullptr, input_names.data(), input_values.data(),
                                input_values.size(), output_names.data(), output_names.size(), raw.data());
  const std::vector<Handle<OrtValue>> results(raw.begin(), raw.end());  // owned before anything can throw
  ort.check(status, file);

  NamedTensors named;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string what = fmt::format("{}: output {}", file, output_names[i]);
    const auto type = make<OrtTensorTypeAndShapeInfo>(what, api().GetTensorTypeAndShape, results[i].get());
    Info info = describe(type.get(), what);
    Tensor tensor(info.dtype, std::move(info.shape));
    void* data = nullptr;
    ort.check(api().GetTensorMutableData(results[i].get(), &data), what);
    if (!tensor.data.empty()) std::memcpy(tensor.data.data(), data, tensor.data.size());
    named.emplace_back(output_names[i], std::move(tensor));
  }
  return named;
}

std::string version() { return Library::get().version; }

}  // namespace onnxport::runtime
