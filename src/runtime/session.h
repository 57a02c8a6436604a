/// ONNX Runtime, loaded at run time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "onnxport/tensor.h"

namespace onnxport::runtime {

/// What a session is for.
enum class Use : std::uint8_t {
  service,  ///< ONNX Runtime's defaults: threads without work spin, so the next run starts sooner
  checks,   ///< a few runs beside other work: threads without work sleep
  /// The same with small tensors: no plan of which values share memory. The time for the plan grows with the
  /// square of the number of nodes: it is 90 % of the time to load 2,800 nodes. Without it, each node runs on
  /// one thread.
  small_checks,
};

struct SessionOptions {
  int intra_op_threads = 0;      ///< 0: ONNX Runtime's choice
  bool optimize = true;          ///< all graph optimizations, or none
  std::string provider = "cpu";  ///< another one of the library's runs the nodes that it takes
  Use use = Use::checks;
};

/// A model loaded in ONNX Runtime. The library is looked for in `$ONNXRUNTIME_ROOT/lib`, beside the
/// program, in `../lib`, in `../lib/onnxport/onnxruntime`, where the build found it, and in the system's
/// search path. It is opened once per process.
class Session {
 public:
  /// Throws ExportError(runtime) if ONNX Runtime cannot be found (the message lists the places and the next
  /// step) or refuses the model (with its message).
  explicit Session(const std::filesystem::path& model, const SessionOptions& options = {});
  /// A model in memory, with its external data in `folder`.
  Session(const std::string& model, const std::filesystem::path& folder, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  struct Info {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;   ///< -1 where symbolic
    std::vector<std::string> symbols;  ///< one per axis, empty where static
  };
  const std::vector<Info>& inputs() const;
  const std::vector<Info>& outputs() const;

  /// Runs on inputs by name, ignoring those that the model does not have. Returns the requested outputs in
  /// order, or all.
  NamedTensors run(const NamedTensors& inputs, const std::vector<std::string>& outputs = {}) const;
  /// Runs again and again on the same inputs, and computes all outputs, which are not copied. `on_run` gets
  /// the seconds of each run, and says whether to go on.
  void time_runs(const NamedTensors& inputs, const std::function<bool(double seconds)>& on_run) const;

 private:
  struct Impl;
  struct Call;
  std::unique_ptr<Impl> impl_;
};

/// Version of the library, such as "1.31.1". Throws like Session.
std::string version();
/// Newest ai.onnx opset that onnxport exports; the newest that the supported ONNX Runtime accepts.
inline constexpr int newest_opset = 26;

}  // namespace onnxport::runtime
