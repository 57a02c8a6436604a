/// Long work beside the interpreter: without the GIL, and stopped by Ctrl-C.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "bind.h"

namespace onnxport::python {

/// Runs the work on a thread of its own and waits for it without the GIL. Signals are handled in the
/// meantime: if a handler raises (Ctrl-C), the work is cancelled, and the handler's exception is raised when
/// it has ended.
void run_beside(const std::function<void()>& work);

template <class Fn>
auto run_interruptible(Fn&& fn) -> std::invoke_result_t<Fn> {
  std::optional<std::invoke_result_t<Fn>> result;
  run_beside([&] { result.emplace(std::forward<Fn>(fn)()); });
  return *std::move(result);
}

/// A Python callable that any thread may copy, call and drop.
class Callback {
 public:
  Callback() = default;
  /// None gives an empty one.
  explicit Callback(nb::object callable);
  explicit operator bool() const { return callable_ != nullptr; }

  template <class... Args>
  void operator()(Args&&... args) const {
    const nb::gil_scoped_acquire gil;
    (*callable_)(std::forward<Args>(args)...);
  }
  /// The same, with a result.
  template <class Result, class... Args>
  Result get(Args&&... args) const {
    const nb::gil_scoped_acquire gil;
    return nb::cast<Result>((*callable_)(std::forward<Args>(args)...));
  }

 private:
  std::shared_ptr<nb::object> callable_;
};

/// For ExportOptions::on_notice and its like; empty for None.
std::function<void(const std::string&)> line_listener(nb::object callable);
/// For ExportOptions::on_progress: calls back at most 20 times a second, and at the end.
std::function<void(std::uint64_t, std::uint64_t)> progress_listener(nb::object callable);

}  // namespace onnxport::python
