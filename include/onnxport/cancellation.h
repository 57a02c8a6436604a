/// Stopping long work from another thread.
#pragma once

#include <atomic>
#include <exception>

#include "onnxport/export_macro.h"

namespace onnxport {

/// What ends work that was cancelled. It is no ExportError: nothing failed. Files that were being written are
/// gone.
class ONNXPORT_API Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "cancelled"; }
};

/// A request to stop. A thread that listens to it ends its exports and validations with Cancelled soon after
/// cancel(), and so do the threads that they start.
class ONNXPORT_API Cancellation {
 public:
  /// From any thread.
  void cancel() noexcept { cancelled_ = true; }
  bool cancelled() const noexcept { return cancelled_; }

  /// This thread listens during its lifetime. Null: to nothing.
  class ONNXPORT_API Listening {
   public:
    explicit Listening(const Cancellation* cancellation);
    ~Listening();
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

   private:
    const Cancellation* before_;
  };
  /// What this thread listens to, or null.
  static const Cancellation* of_thread() noexcept;

 private:
  std::atomic<bool> cancelled_ = false;
};

}  // namespace onnxport
