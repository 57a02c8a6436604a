# `cmake --install BUILD --prefix DIR`, and the package that find_package(onnxport) finds there:
# onnxport::onnxport (shared library), onnxport::plugin (headers only), onnxport::program (the executable).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# The component `program` is what ./dev dist packs: the executable with ONNX Runtime and the licences.
install(TARGETS onnxport onnxport_plugin EXPORT onnxportTargets)
install(TARGETS onnxport_cli EXPORT onnxportTargets RUNTIME COMPONENT program)
install(DIRECTORY include/onnxport DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING
  PATTERN "*.h" PATTERN "*.def" PATTERN "*.inc")
get_filename_component(ort_name "${ONNXPORT_ORT_LIBRARY}" NAME)
install(PROGRAMS "${ONNXPORT_ORT_LIBRARY}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT program)
install(CODE "file(CREATE_LINK ${ort_name}
  \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libonnxruntime.so.1\" SYMBOLIC)" COMPONENT program)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
install(FILES "${ONNXPORT_DEPS_DIR}/onnxruntime-1.31.1/onnxruntime/LICENSE"
  "${ONNXPORT_DEPS_DIR}/onnxruntime-1.31.1/onnxruntime/ThirdPartyNotices.txt"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}/onnxruntime" COMPONENT program)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/onnxport")
install(EXPORT onnxportTargets NAMESPACE onnxport:: DESTINATION "${package_dir}")
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/onnxportConfig.cmake"
  CONTENT "include(\"\${CMAKE_CURRENT_LIST_DIR}/onnxportTargets.cmake\")\n" @ONLY)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/onnxportConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/onnxportConfig.cmake" "${PROJECT_BINARY_DIR}/onnxportConfigVersion.cmake"
  DESTINATION "${package_dir}")
