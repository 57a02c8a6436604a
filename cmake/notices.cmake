# The licences of the libraries that are linked into the program and the extension of the Python package, in one file.
# They come from the packages of the build machine.
#
# Each line: name, the headers of it that we include, and its licence.
set(notices
  "ONNX|onnx/|${ONNXPORT_DEPS_DIR}/onnx-${ONNXPORT_ONNX_VERSION}/onnx-${ONNXPORT_ONNX_VERSION}.dist-info/licenses/LICENSE"
  "Protocol Buffers|google/protobuf/|/usr/share/doc/libprotobuf-dev/copyright"
  "JSON for Modern C++|nlohmann/|/usr/share/doc/nlohmann-json3-dev/copyright"
  "CLI11|CLI/|/usr/share/doc/libcli11-dev/copyright"
  "fmt|fmt/|/usr/share/doc/libfmt-dev/copyright"
  "Eigen|Eigen/|/usr/share/doc/libeigen3-dev/copyright"
  "zlib|zlib.h|/usr/share/doc/zlib1g-dev/copyright"
  "curl|curl/|/usr/share/doc/libcurl4-openssl-dev/copyright"
  "ONNX Runtime|onnxruntime_c|${ONNXPORT_ORT_PACKAGE}/LICENSE"
  "GCC's C++ runtime library||/usr/share/doc/libstdc++6/copyright"
)
if(ONNXPORT_PYTHON)
  file(GLOB licence "${nanobind_ROOT}/../../nanobind-*.dist-info/licenses/LICENSE")
  list(APPEND notices "nanobind|nanobind/|${licence}"
    "robin_map, in nanobind||${nanobind_ROOT}/../ext/robin_map/include/tsl/robin_map.h")
endif()

set(ONNXPORT_NOTICES "${PROJECT_BINARY_DIR}/ThirdPartyNotices.txt")
set(text "onnxport includes the following software.\n")
foreach(notice IN LISTS notices)
  string(REPLACE "|" ";" parts "${notice}")
  list(GET parts 0 name)
  list(GET parts 2 licence)
  if(EXISTS "${licence}")
    file(READ "${licence}" words)
    if(licence MATCHES "[.]h$")  # the comment at its beginning
      string(REGEX REPLACE "[*]/.*" "" words "${words}")
      string(REGEX REPLACE "(^|\n)[/ ][*]+ ?" "\\1" words "${words}")
    endif()
    string(APPEND text "\n${name}\n\n${words}\n")
  elseif(ONNXPORT_PORTABLE)
    message(FATAL_ERROR "the licence of ${name} is missing: ${licence}")
  else()
    message(WARNING "the licence of ${name} is missing: ${licence}")
  endif()
endforeach()
file(WRITE "${ONNXPORT_NOTICES}" "${text}")
install(FILES "${ONNXPORT_NOTICES}" DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
if(ONNXPORT_PYTHON)
  install(FILES "${ONNXPORT_NOTICES}" DESTINATION onnxport COMPONENT python)
endif()
