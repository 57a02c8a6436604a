# The extension of the Python package, onnxport._native: the rooms, the command line and the bindings of python/src.
# In a build folder, python/onnxport is the package: links to its sources, and the extension.
set(ONNXPORT_PYTHON_PACKAGES "" CACHE PATH "Folder of packages for the interpreter, such as nanobind and pytest")
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.SABIModule)
set(python_command "${Python_EXECUTABLE}")
if(ONNXPORT_PYTHON_PACKAGES)
  set(python_command "${CMAKE_COMMAND}" -E env "PYTHONPATH=${ONNXPORT_PYTHON_PACKAGES}" "${Python_EXECUTABLE}")
endif()
execute_process(COMMAND ${python_command} -m nanobind --cmake_dir OUTPUT_STRIP_TRAILING_WHITESPACE
  OUTPUT_VARIABLE nanobind_ROOT RESULT_VARIABLE nanobind_missing)
if(nanobind_missing)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no nanobind: pip install nanobind==3.1.0")
endif()
find_package(nanobind 3.1 CONFIG REQUIRED)

# CMake knows the stable ABI from 3.26 on; all that nanobind needs of it are the headers.
if(NOT TARGET Python::SABIModule AND Python_VERSION VERSION_GREATER_EQUAL 3.12)
  add_library(Python::SABIModule INTERFACE IMPORTED)
  target_include_directories(Python::SABIModule INTERFACE ${Python_INCLUDE_DIRS})
endif()

file(GLOB python_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/*.cpp")
nanobind_add_module(onnxport_python STABLE_ABI NB_STATIC NB_DOMAIN onnxport ${python_sources}
  $<TARGET_OBJECTS:onnxport_objects> $<TARGET_OBJECTS:onnxport_models> $<TARGET_OBJECTS:onnxport_cli_objects>)
if(ONNXPORT_WHEEL)  # other machines have no protobuf
  add_subdirectory(cmake/protobuf)
  # A group, because linkers other than mold read each archive only once.
  target_link_libraries(onnxport_python PRIVATE onnxport_objects "$<LINK_GROUP:RESCAN,onnx,onnxport_protobuf_lite>"
    ZLIB::ZLIB onnxport_portable)
  target_link_options(onnxport_python PRIVATE -s)
else()
  target_link_libraries(onnxport_python PRIVATE onnxport_objects "${ONNXPORT_PROTOBUF_SHARED}" ZLIB::ZLIB)
endif()
target_link_options(onnxport_python PRIVATE "-Wl,--version-script=${PROJECT_SOURCE_DIR}/python/src/exports.ld")
set_target_properties(onnxport_python PROPERTIES OUTPUT_NAME _native
  LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/python/onnxport"
  LINK_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/exports.ld")
install(TARGETS onnxport_python LIBRARY DESTINATION onnxport COMPONENT python)

file(GLOB python_parts CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/python/onnxport"
  "${PROJECT_SOURCE_DIR}/python/onnxport/*")
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/python/onnxport")
foreach(part IN LISTS python_parts)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/python/onnxport/${part}" "${PROJECT_BINARY_DIR}/python/onnxport/${part}"
    SYMBOLIC)
endforeach()

if(ONNXPORT_BUILD_TESTS AND NOT ONNXPORT_SANITIZE)
  add_test(NAME python.tests COMMAND "${CMAKE_COMMAND}" -E env
    "PYTHONPATH=${PROJECT_BINARY_DIR}/python:${ONNXPORT_PYTHON_PACKAGES}" PYTHONDONTWRITEBYTECODE=1
    "${Python_EXECUTABLE}" -m pytest -q -rs -p no:cacheprovider
    "--junitxml=${PROJECT_BINARY_DIR}/test-results/python.tests.xml" "${PROJECT_SOURCE_DIR}/python/tests")
  set_tests_properties(python.tests PROPERTIES TIMEOUT 900)
endif()
