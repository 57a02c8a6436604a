#include "interrupt.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "onnxport/cancellation.h"

namespace onnxport::python {

using namespace std::chrono_literals;

void run_beside(const std::function<void()>& work) {
  Cancellation cancellation;
  std::exception_ptr failure;
  std::optional<nb::python_error> raised;
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  {
    const nb::gil_scoped_release released;
    std::jthread worker([&] {
      {
        const Cancellation::Listening listening(&cancellation);
        try {
          work();
        } catch (...) {
          failure = std::current_exception();
        }
      }
      const std::lock_guard lock(mutex);
      done = true;
      ended.notify_all();
    });
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, 50ms, [&] { return done; })) {
      lock.unlock();
      if (!raised) {
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) {
          raised.emplace();
          cancellation.cancel();
        }
      }
      lock.lock();
    }
  }
  if (raised) throw *std::move(raised);
  if (failure) std::rethrow_exception(failure);
}

Callback::Callback(nb::object callable) {
  if (callable.is_none()) return;
  callable_ = std::shared_ptr<nb::object>(new nb::object(std::move(callable)), [](nb::object* object) {
    const nb::gil_scoped_acquire gil;
    delete object;
  });
}

std::function<void(const std::string&)> line_listener(nb::object callable) {
  const Callback callback(std::move(callable));
  if (!callback) return {};
  return [callback](const std::string& text) { callback(text); };
}

std::function<void(std::uint64_t, std::uint64_t)> progress_listener(nb::object callable) {
  const Callback callback(std::move(callable));
  if (!callback) return {};
  using Clock = std::chrono::steady_clock;
  const auto next = std::make_shared<Clock::time_point>();  // the calls are never concurrent
  return [callback, next](std::uint64_t done, std::uint64_t total) {
    const Clock::time_point now = Clock::now();
    if (done < total && now < *next) return;
    *next = now + 50ms;
    callback(done, total);
  };
}

}  // namespace onnxport::python
