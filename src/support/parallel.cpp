#include "support/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "support/cancelled.h"

namespace onnxport {

unsigned available_threads() { return std::max(1U, std::thread::hardware_concurrency()); }

void parallel_for(std::size_t n, const std::function<void(std::size_t)>& fn, unsigned threads) {
  if (threads == 0) threads = available_threads();
  const std::size_t workers = std::min<std::size_t>(threads, n);
  if (workers <= 1) {
    for (std::size_t i = 0; i < n; ++i) {
      check_cancelled();
      fn(i);
    }
    return;
  }
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_index = n;
  const Cancellation* const cancellation = Cancellation::of_thread();
  const auto work = [&] {
    const Cancellation::Listening listening(cancellation);
    while (!failed) {
      const std::size_t i = next++;
      if (i >= n) return;
      try {
        check_cancelled();
        fn(i);
      } catch (...) {
        // All lower indices were handed out earlier, so the lowest failing one always gets here.
        const std::lock_guard lock(mutex);
        failed = true;
        if (i < error_index) {
          error_index = i;
          error = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    try {
      while (pool.size() + 1 < workers) pool.emplace_back(work);
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch)
      // If no more threads can be started, the running ones do the work.
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace onnxport
