# The page of `onnxport report`: its template, its scripts and the pinned libraries, in one source file.
set(report_page_dir "${PROJECT_SOURCE_DIR}/src/report/page")
set(report_page "${PROJECT_BINARY_DIR}/report/page.cpp")
# Scripts share one scope, in this order.
set(report_scripts format model summary treemap picture interface validation times graph main)
list(TRANSFORM report_scripts REPLACE "(.+)" "${report_page_dir}/\\1.js")
set(report_libraries
  "${ONNXPORT_DEPS_DIR}/htm-3.1.1/preact/standalone.umd.js"
  "${ONNXPORT_DEPS_DIR}/dagre-3.1.3/dist/dagre.min.js"
  "${ONNXPORT_DEPS_DIR}/d3-hierarchy-3.1.3/dist/d3-hierarchy.min.js")
set(report_licences
  "${ONNXPORT_DEPS_DIR}/htm-3.1.1/LICENSE" "${ONNXPORT_DEPS_DIR}/preact-10.9.0/LICENSE"
  "${ONNXPORT_DEPS_DIR}/dagre-3.1.3/LICENSE" "${ONNXPORT_DEPS_DIR}/d3-hierarchy-3.1.3/LICENSE")
foreach(path ${report_libraries} ${report_licences})
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "${path} is missing: run tools/setup.sh (or ./dev build, which does)")
  endif()
endforeach()

add_custom_command(OUTPUT "${report_page}"
  COMMAND "${CMAKE_COMMAND}" "-DHTML=${report_page_dir}/page.html" "-DSTYLE=${report_page_dir}/page.css"
    "-DSCRIPTS=${report_scripts}" "-DLIBRARIES=${report_libraries}" "-DLICENCES=${report_licences}"
    "-DOUTPUT=${report_page}" -P "${PROJECT_SOURCE_DIR}/cmake/report/embed.cmake"
  DEPENDS "${report_page_dir}/page.html" "${report_page_dir}/page.css" ${report_scripts} ${report_libraries}
    ${report_licences} "${PROJECT_SOURCE_DIR}/cmake/report/embed.cmake"
  COMMENT "Embedding the page of reports" VERBATIM)
set_source_files_properties("${report_page}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
target_sources(onnxport_objects PRIVATE "${report_page}")
