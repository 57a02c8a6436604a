/// ONNX Runtime's C API, from a library that is loaded at run time.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>
#include <string_view>

#include "onnxport/error.h"

namespace onnxport::runtime {

[[noreturn]] inline void fail(const std::string& message) { throw ExportError(ErrorCode::runtime, message); }

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
  void check(OrtStatus* status, std::string_view what) const;

  std::string version;
  const OrtApi* api = nullptr;
  OrtEnv* env = nullptr;
  OrtAllocator* allocator = nullptr;  // the default one: not ours to release

 private:
  Library();
};

inline const OrtApi& api() { return *Library::get().api; }

struct Release {
  void operator()(OrtSession* p) const { api().ReleaseSession(p); }
  void operator()(OrtSessionOptions* p) const { api().ReleaseSessionOptions(p); }
  void operator()(OrtCUDAProviderOptionsV2* p) const { api().ReleaseCUDAProviderOptions(p); }
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

}  // namespace onnxport::runtime
