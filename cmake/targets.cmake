# The rooms, and the targets made from them: the program, the shared library, and the interface for plugins.
# A new file in src/<room>/ is picked up by itself.
file(GLOB_RECURSE onnxport_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*.cpp")
file(GLOB onnxport_cli_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/cli/*.cpp")
list(FILTER onnxport_sources EXCLUDE REGEX "/src/cli/")
set(onnxport_runtime_sources ${onnxport_sources})
list(FILTER onnxport_runtime_sources INCLUDE REGEX "/src/runtime/")
set(onnxport_model_sources ${onnxport_sources})
list(FILTER onnxport_model_sources INCLUDE REGEX "/src/models/")
list(FILTER onnxport_sources EXCLUDE REGEX "/src/models/")

add_library(onnxport_objects OBJECT ${onnxport_sources})
set_target_properties(onnxport_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(onnxport_objects PUBLIC "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
target_include_directories(onnxport_objects SYSTEM PUBLIC "${ONNXPORT_ORT_INCLUDE_DIR}" PRIVATE ${ZLIB_INCLUDE_DIRS})
target_compile_definitions(onnxport_objects PUBLIC ORT_API_MANUAL_INIT
  PRIVATE "ONNXPORT_VERSION=\"${PROJECT_VERSION}\"")
if(NOT ONNXPORT_WHEEL)  # a wheel finds ONNX Runtime in its package
  set_property(SOURCE ${onnxport_runtime_sources} APPEND PROPERTY COMPILE_DEFINITIONS
    "ONNXPORT_DEFAULT_ORT_LIBRARY=\"${ONNXPORT_ORT_LIBRARY}\"")
endif()
target_precompile_headers(onnxport_objects PRIVATE cmake/pch.h)
# Rooms that compose and describe compile in a quarter less time with -Og; those that compute on tensors and graphs do not.
set(onnxport_plain_sources ${onnxport_sources})
list(FILTER onnxport_plain_sources INCLUDE REGEX "/src/(batch|config|exporter|hub|layout|nn|pipeline|report|transform)/")
set_property(SOURCE ${onnxport_plain_sources} APPEND PROPERTY COMPILE_OPTIONS $<$<NOT:$<CONFIG:Release>>:-Og>)
# Decoded bits must not depend on whether a processor can fuse multiply and add.
file(GLOB onnxport_exact_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/support/quantize_*.cpp")
set_source_files_properties(${onnxport_exact_sources} "${PROJECT_SOURCE_DIR}/src/checkpoint/ggml_blocks.cpp"
  PROPERTIES COMPILE_OPTIONS -ffp-contract=off SKIP_PRECOMPILE_HEADERS ON)
# Forms of one function for several processors; see product_kernel.h.
set_source_files_properties("${PROJECT_SOURCE_DIR}/src/reference/product_baseline.cpp"
  "${PROJECT_SOURCE_DIR}/src/reference/product_avx2.cpp" "${PROJECT_SOURCE_DIR}/src/reference/product_avx512.cpp"
  PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  set_source_files_properties("${PROJECT_SOURCE_DIR}/src/reference/product_avx2.cpp" PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mfma")
  set_source_files_properties("${PROJECT_SOURCE_DIR}/src/reference/product_avx512.cpp" PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mfma;-mavx512f;-mavx512dq;-Wno-uninitialized;-Wno-maybe-uninitialized")  # of its intrinsics
endif()
if(ONNXPORT_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # gcc then takes the states of std::regex for uninitialized
  set_source_files_properties("${PROJECT_SOURCE_DIR}/src/support/pattern.cpp" PROPERTIES
    COMPILE_OPTIONS -Wno-maybe-uninitialized)
endif()
# The archives are given as usage requirements only: each final target adds the protobuf that suits it.
target_link_libraries(onnxport_objects PUBLIC onnxport_flags onnx_checker nlohmann_json::nlohmann_json Eigen3::Eigen
  Threads::Threads onnxport_fmt ${CMAKE_DL_LIBS})

# The definitions, with a precompiled header of what all of them include. They only compose modules, so a second of
# optimizing each would be spent for nothing. With -Og they compile in 30 % less time than with -O1, and the program takes
# a millisecond more to start.
add_library(onnxport_models OBJECT ${onnxport_model_sources})
set_target_properties(onnxport_models PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_options(onnxport_models PRIVATE $<IF:$<CONFIG:Release>,-O1,-Og>)
target_precompile_headers(onnxport_models PRIVATE cmake/pch.h src/models/common/definition.h)
target_link_libraries(onnxport_models PRIVATE onnxport_objects)

# A program of ours is one static whole but for glibc and libstdc++; -no-pie for the static protobuf. A static libstdc++
# would start 1 ms sooner, but exceptions that cross between program and plugin then end in abort().
add_library(onnxport_program INTERFACE)
target_sources(onnxport_program INTERFACE $<TARGET_OBJECTS:onnxport_objects> $<TARGET_OBJECTS:onnxport_models>)
target_link_libraries(onnxport_program INTERFACE onnxport_objects "${ONNXPORT_PROTOBUF_STATIC}"
  "${ONNXPORT_ZLIB_STATIC}")
target_link_options(onnxport_program INTERFACE -no-pie)

# Plugins resolve their symbols against the program, so it exports the public API (and nothing else), and keeps it.
add_library(onnxport_cli_objects OBJECT ${onnxport_cli_sources})  # compiled like the rooms, to share their PCH
set_target_properties(onnxport_cli_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(onnxport_cli_objects PRIVATE "ONNXPORT_VERSION=\"${PROJECT_VERSION}\"")
set_source_files_properties("${PROJECT_SOURCE_DIR}/src/cli/build_info.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON
  COMPILE_DEFINITIONS "ONNXPORT_COMMIT=\"${onnxport_commit}\";ONNXPORT_BUILD_TYPE=\"${CMAKE_BUILD_TYPE}\";\
ONNXPORT_COMPILER=\"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\";\
ONNXPORT_BUILT_FOR=\"${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}\";\
ONNXPORT_ONNX_VERSION=\"${ONNXPORT_ONNX_VERSION}\";ONNXPORT_ORT_VERSION=\"${ONNXPORT_ORT_VERSION}\";\
ONNXPORT_PROTOBUF_VERSION=\"${ONNXPORT_PROTOBUF_VERSION}\";ONNXPORT_ZLIB_VERSION=\"${ZLIB_VERSION_STRING}\";\
ONNXPORT_EIGEN_VERSION=\"${Eigen3_VERSION}\"")
target_compile_options(onnxport_cli_objects PRIVATE $<$<NOT:$<CONFIG:Release>>:-Og>)
target_precompile_headers(onnxport_cli_objects REUSE_FROM onnxport_objects)
target_link_libraries(onnxport_cli_objects PRIVATE onnxport_objects CLI11::CLI11)
add_executable(onnxport_cli $<TARGET_OBJECTS:onnxport_cli_objects>)
target_link_libraries(onnxport_cli PRIVATE onnxport_program onnxport_portable_program onnxport_portable)
target_link_options(onnxport_cli PRIVATE "-Wl,--dynamic-list=${PROJECT_SOURCE_DIR}/cmake/exports.list")
set_target_properties(onnxport_cli PROPERTIES OUTPUT_NAME onnxport EXPORT_NAME program
  RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}" LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/exports.list")

# For programs that use the C++ API.
add_library(onnxport SHARED)
target_link_libraries(onnxport PRIVATE onnxport_objects onnxport_models "${ONNXPORT_PROTOBUF_SHARED}" ZLIB::ZLIB)
target_link_options(onnxport PRIVATE "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.ld")
if(NOT ONNXPORT_SANITIZE)  # clang leaves the sanitizers' symbols to the program
  target_link_options(onnxport PRIVATE -Wl,-z,defs)
endif()
target_include_directories(onnxport INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
  "$<INSTALL_INTERFACE:include>")
target_compile_features(onnxport INTERFACE cxx_std_20)
set_target_properties(onnxport PROPERTIES LINKER_LANGUAGE CXX VERSION "${PROJECT_VERSION}"
  SOVERSION "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}" LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}"
  LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/exports.ld")

# For plugins: headers, and no library. add_library(my_plugin MODULE ...), loaded with `onnxport --plugin`.
add_library(onnxport_plugin INTERFACE)
target_include_directories(onnxport_plugin INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
  "$<INSTALL_INTERFACE:include>")
target_compile_features(onnxport_plugin INTERFACE cxx_std_20)
set_target_properties(onnxport_plugin PROPERTIES EXPORT_NAME plugin)

add_library(onnxport::onnxport ALIAS onnxport)
add_library(onnxport::plugin ALIAS onnxport_plugin)
