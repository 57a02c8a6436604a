# Everything that is not ours. Debian's packages come through find_package; the pinned files of tools/setup.sh
# (ONNX's sources, ONNX Runtime) from ONNXPORT_DEPS_DIR.
set(ONNXPORT_ORT_LIBRARY "${ONNXPORT_DEPS_DIR}/onnxruntime-1.31.1/onnxruntime/capi/libonnxruntime.so.1.31.1")
set(ONNXPORT_ORT_INCLUDE_DIR "${ONNXPORT_DEPS_DIR}/onnxruntime-headers-0.4.9/include")
foreach(path "${ONNXPORT_DEPS_DIR}/onnx-1.23.2/onnx/checker.cc" "${ONNXPORT_ORT_LIBRARY}"
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
