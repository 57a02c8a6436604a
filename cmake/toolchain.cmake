# Language level, ccache, mold, and onnxport_flags: the compile settings of all our targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")

# With these, another clone of the project finds the objects of the first one.
find_program(ONNXPORT_CCACHE ccache)
if(ONNXPORT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
    "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime" "${ONNXPORT_CCACHE}")
endif()

# The same arithmetic everywhere, so that an export has the same bytes: x86-64 has no instruction that multiplies and adds
# with one rounding (without -march), and its char has a sign.
if(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_compile_options(-ffp-contract=off -fsigned-char)
endif()

add_library(onnxport_flags INTERFACE)
target_compile_options(onnxport_flags INTERFACE -Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi
  -Wno-missing-field-initializers "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=" -ffunction-sections -fdata-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # These two of gcc 12 cry wolf over inlined standard containers. -fpch-preprocess lets ccache see through the PCH.
  target_compile_options(onnxport_flags INTERFACE -Wshadow=local -Wno-restrict -Wno-stringop-overflow -fpch-preprocess)
else()
  target_compile_options(onnxport_flags INTERFACE -Wshadow -Xclang -fno-pch-timestamp)
endif()
if(ONNXPORT_WERROR)
  target_compile_options(onnxport_flags INTERFACE -Werror)
endif()

find_program(ONNXPORT_MOLD mold)
if(ONNXPORT_MOLD AND NOT CMAKE_CROSSCOMPILING)  # a cross-compiler does not find it
  target_link_options(onnxport_flags INTERFACE -fuse-ld=mold)
endif()
target_link_options(onnxport_flags INTERFACE -Wl,--gc-sections -Wl,--compress-debug-sections=zlib)

if(ONNXPORT_SANITIZE)
  target_compile_options(onnxport_flags INTERFACE "-fsanitize=${ONNXPORT_SANITIZE}" -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(onnxport_flags INTERFACE "-fsanitize=${ONNXPORT_SANITIZE}")
endif()
if(ONNXPORT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "ONNXPORT_FUZZ needs clang; use the fuzz preset")
  endif()
  target_compile_options(onnxport_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
