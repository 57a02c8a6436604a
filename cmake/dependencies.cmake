# Everything that is not ours. Debian's packages come through find_package; the pinned files of tools/setup.sh
# (ONNX's sources, ONNX Runtime) from ONNXPORT_DEPS_DIR.
set(ONNXPORT_ORT_VERSION 1.31.1)
set(ONNXPORT_ONNX_VERSION 1.23.2)
set(ONNXPORT_ORT_PACKAGE "${ONNXPORT_DEPS_DIR}/onnxruntime-${ONNXPORT_ORT_VERSION}/onnxruntime")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  set(ONNXPORT_ORT_PACKAGE "${ONNXPORT_DEPS_DIR}/onnxruntime-${ONNXPORT_ORT_VERSION}-aarch64/onnxruntime")
endif()
set(ONNXPORT_ORT_LIBRARY "${ONNXPORT_ORT_PACKAGE}/capi/libonnxruntime.so.${ONNXPORT_ORT_VERSION}")
set(ONNXPORT_ORT_INCLUDE_DIR "${ONNXPORT_DEPS_DIR}/onnxruntime-headers-0.4.9/include")
foreach(path "${ONNXPORT_DEPS_DIR}/onnx-${ONNXPORT_ONNX_VERSION}/onnx/checker.cc" "${ONNXPORT_ORT_LIBRARY}"
    "${ONNXPORT_ORT_INCLUDE_DIR}/onnxruntime_cxx_api.h")
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "${path} is missing: run tools/setup.sh (or ./dev build, which does)")
  endif()
endforeach()

find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2 REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)

add_subdirectory(cmake/onnx)
add_subdirectory(cmake/fmt)

# Debian's static protobuf is not position-independent: good for programs without PIE, not for libonnxport.so.
find_library(ONNXPORT_PROTOBUF_STATIC libprotobuf-lite.a REQUIRED)
find_library(ONNXPORT_PROTOBUF_SHARED libprotobuf-lite.so REQUIRED)
find_library(ONNXPORT_ZLIB_STATIC libz.a)
if(NOT ONNXPORT_ZLIB_STATIC)
  set(ONNXPORT_ZLIB_STATIC ZLIB::ZLIB)
endif()

# Debian's protobuf has its version as one number: 3021012.
find_path(ONNXPORT_PROTOBUF_INCLUDE google/protobuf/stubs/common.h REQUIRED)
file(STRINGS "${ONNXPORT_PROTOBUF_INCLUDE}/google/protobuf/stubs/common.h" protobuf_version
  REGEX "^#define GOOGLE_PROTOBUF_VERSION [0-9]+")
string(REGEX REPLACE "[^0-9]" "" protobuf_version "${protobuf_version}")
math(EXPR protobuf_major "${protobuf_version} / 1000000")
math(EXPR protobuf_minor "${protobuf_version} / 1000 % 1000")
math(EXPR protobuf_patch "${protobuf_version} % 1000")
set(ONNXPORT_PROTOBUF_VERSION "${protobuf_major}.${protobuf_minor}.${protobuf_patch}")
# The commit is in builds for users only: other builds would be configured again for each commit.
set(ONNXPORT_COMMIT "" CACHE STRING "Commit in --version --json; default: that of a git work tree, in Release")
set(onnxport_commit "${ONNXPORT_COMMIT}")
find_package(Git QUIET)
if(NOT onnxport_commit AND Git_FOUND AND CMAKE_BUILD_TYPE STREQUAL "Release")
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${PROJECT_SOURCE_DIR}" rev-parse HEAD
    OUTPUT_VARIABLE onnxport_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${PROJECT_SOURCE_DIR}" rev-parse --git-path logs/HEAD
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE git_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  get_filename_component(git_log "${git_log}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
  if(EXISTS "${git_log}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${git_log}")
  endif()
endif()
