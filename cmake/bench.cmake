# bench/*.cpp: one google-benchmark program.
find_package(benchmark REQUIRED)
file(GLOB bench_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.cpp")
if(bench_sources)
  add_executable(onnxport_bench ${bench_sources})
  target_precompile_headers(onnxport_bench PRIVATE cmake/pch.h)
  target_link_libraries(onnxport_bench PRIVATE onnxport_program benchmark::benchmark benchmark::benchmark_main)
endif()
