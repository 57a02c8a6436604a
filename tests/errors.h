/// Messages of the errors that tests provoke.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "onnxport/error.h"

namespace onnxport::test {

/// The message of the ExportError of this code that `action` throws; nothing when it throws none.
inline std::optional<std::string> thrown_by(const std::function<void()>& action, ErrorCode code) {
  try {
    action();
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return std::nullopt;
}

/// The message, or "no error".
inline std::string error_of(const std::function<void()>& action, ErrorCode code = ErrorCode::bad_checkpoint) {
  return thrown_by(action, code).value_or("no error");
}

/// The message of the error that there must be.
inline std::string complaint(ErrorCode code, const std::function<void()>& action) {
  const auto message = thrown_by(action, code);
  if (!message) ADD_FAILURE() << "nothing was thrown";
  return message.value_or("");
}
inline std::string complaint(const std::function<void()>& action, ErrorCode code) {
  return complaint(code, action);
}

}  // namespace onnxport::test
