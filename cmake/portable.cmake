# ONNXPORT_PORTABLE: the program and the extension run with glibc 2.28 and the C++ runtime of gcc 8, or any later ones
# (manylinux_2_28). Only the link differs, so an existing build folder needs no new compilation.
#
# - Calls of functions that got a new version since glibc 2.28 go to portable/old_glibc.cpp.
# - Of libstdc++, the part that gcc 8 has stays shared, so that exceptions cross between program and plugin. Newer parts
#   come from libstdc++.a.
option(ONNXPORT_PORTABLE "Link for Linux systems as old as glibc 2.28" OFF)
if(NOT ONNXPORT_PORTABLE)
  add_library(onnxport_portable INTERFACE)
  add_library(onnxport_portable_program INTERFACE)
  return()
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$" OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  message(FATAL_ERROR "ONNXPORT_PORTABLE is for gcc, and for x86_64 or aarch64; \
got ${CMAKE_CXX_COMPILER_ID} on ${CMAKE_SYSTEM_PROCESSOR}")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=libstdc++.so.6 OUTPUT_STRIP_TRAILING_WHITESPACE
  OUTPUT_VARIABLE libstdcxx)
set(old_libstdcxx "${PROJECT_BINARY_DIR}/portable/libstdc++.so")
add_custom_command(OUTPUT "${old_libstdcxx}" VERBATIM
  COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/cmake/portable/old_libstdcxx.py" "${libstdcxx}"
    "${PROJECT_BINARY_DIR}/portable" "${CMAKE_CXX_COMPILER}"
  DEPENDS "${PROJECT_SOURCE_DIR}/cmake/portable/old_libstdcxx.py" "${libstdcxx}")
add_custom_target(onnxport_old_libstdcxx DEPENDS "${old_libstdcxx}")

# portable_library(NAME SOURCE...): an interface whose users call __wrap_NAME instead of NAME, for each __wrap_NAME that
# the sources define.
function(portable_library name)
  add_library(${name}_objects OBJECT ${ARGN})
  target_compile_options(${name}_objects PRIVATE -O2 -Wall -Wextra -ffunction-sections)
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_dependencies(${name}_objects onnxport_old_libstdcxx)
  add_library(${name} INTERFACE)
  target_sources(${name} INTERFACE $<TARGET_OBJECTS:${name}_objects>)
  foreach(source IN LISTS ARGN)
    file(READ "${source}" text)
    string(REGEX MATCHALL "__wrap_[A-Za-z][a-z_]+[(]|__wrap___[a-z_]+|ONNXPORT_OLD[(][^,]+,[^,]+,[^,]+," found "${text}")
    foreach(one IN LISTS found)
      string(REGEX REPLACE "^__wrap_|[(]$|^ONNXPORT_OLD[(][^,]+,[^,]+, |,$" "" function "${one}")
      target_link_options(${name} INTERFACE "-Wl,--wrap=${function}")
    endforeach()
  endforeach()
endfunction()
portable_library(onnxport_portable "${PROJECT_SOURCE_DIR}/cmake/portable/old_glibc.cpp")
portable_library(onnxport_portable_program "${PROJECT_SOURCE_DIR}/cmake/portable/old_start.cpp")

# Last of all libraries. libpthread and libdl are empty today, but an old glibc has these functions there.
target_link_libraries(onnxport_portable INTERFACE "${old_libstdcxx}" -l:libstdc++.a
  -Wl,--push-state,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2 -Wl,--pop-state)
