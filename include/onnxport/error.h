/// The one exception type of onnxport.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "onnxport/export_macro.h"

namespace onnxport {

/// What kind of problem an ExportError reports. The command line maps each code to an exit status
/// (docs/cli.md).
enum class ErrorCode {
  invalid_argument,  ///< a flag, task, dtype, opset or API argument that makes no sense (exit 2)
  bad_config,        ///< config.json or a companion is missing, broken or asks for something unknown (exit 3)
  bad_checkpoint,    ///< weights missing, truncated, lying about themselves, or of the wrong shape (exit 4)
  unsupported,       ///< a model type, task or option that onnxport does not build (exit 5)
  shape,             ///< an op was given operands that do not fit (exit 6; in a definition: a bug there)
  io,                ///< reading or writing failed: permission, disk full, … (exit 7)
  validation_failed,  ///< the exported file does not compute what the model computes (exit 8)
  runtime,            ///< ONNX Runtime is missing or refused the model (exit 9)
  internal,           ///< a broken invariant of onnxport itself (exit 10)
};

/// Every failure that onnxport reports. The message is one or two lines in lower case that name the file, key
/// path or op, what was found, what was expected and, where there is one, the next step.
class ONNXPORT_API ExportError : public std::runtime_error {
 public:
  ExportError(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace onnxport
