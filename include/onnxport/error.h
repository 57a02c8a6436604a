/// The one exception type of onnxport.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "onnxport/export_macro.h"

namespace onnxport {

/// The kind of problem that an ExportError reports. The command line maps each code to an exit status
/// (docs/cli.md).
enum class ErrorCode {
  invalid_argument,   ///< an invalid flag, task, dtype, opset or API argument (exit 2)
  bad_config,         ///< config.json or a companion is missing, broken or has an unknown setting (exit 3)
  bad_checkpoint,     ///< weights are missing, truncated, inconsistent, or of the wrong shape (exit 4)
  unsupported,        ///< a model type, task or option that is not supported (exit 5)
  shape,              ///< the operands of an op do not fit (exit 6; a bug in the definition)
  io,                 ///< reading or writing failed: missing permission, full disk, … (exit 7)
  validation_failed,  ///< the exported file does not compute the same as the model (exit 8)
  runtime,            ///< ONNX Runtime is missing or refused the model (exit 9)
  internal,           ///< a bug in onnxport itself (exit 10)
};

/// Every failure that onnxport reports. The message is one or two lines in lower case. It names the file, key
/// path or op, the value found, the value expected and, if there is one, the next step.
class ONNXPORT_API ExportError : public std::runtime_error {
 public:
  ExportError(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace onnxport
