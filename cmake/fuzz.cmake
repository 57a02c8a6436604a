# fuzz/fuzz_<name>.cpp: one libFuzzer program each; `./dev fuzz` runs them all.
file(GLOB fuzz_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/fuzz/fuzz_*.cpp")
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name "${source}" NAME_WE)
  add_executable(${name} "${source}")
  target_link_libraries(${name} PRIVATE onnxport_program)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
