# `cmake --install BUILD --prefix DIR`, and the package that find_package(onnxport) finds there:
# onnxport::onnxport (shared library), onnxport::plugin (headers only), onnxport::program (the executable).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# The component `program` is the program with everything that it needs. The archive of ./dev dist and the container image
# add `licences`. The Debian package (package.cmake) adds `debian` instead, in which a copyright file has the licences.
install(TARGETS onnxport onnxport_plugin EXPORT onnxportTargets)
install(TARGETS onnxport_cli EXPORT onnxportTargets COMPONENT program)
install(DIRECTORY include/onnxport DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING
  PATTERN "*.h" PATTERN "*.def" PATTERN "*.inc")
# In a folder of its own, where the system's linker does not look: other programs keep their ONNX Runtime. If it were one
# level higher, CPack would make the package call ldconfig.
install(FILES "${ONNXPORT_ORT_LIBRARY}" DESTINATION lib/onnxport/onnxruntime COMPONENT program)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT licences)
install(FILES "${ONNXPORT_ORT_PACKAGE}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}/onnxruntime" COMPONENT licences)
install(FILES "${ONNXPORT_ORT_PACKAGE}/ThirdPartyNotices.txt" DESTINATION "${CMAKE_INSTALL_DOCDIR}/onnxruntime"
  COMPONENT program)

# The program writes its manual page and the completions of shells.
set(texts "${PROJECT_BINARY_DIR}/texts")
file(MAKE_DIRECTORY "${texts}")
add_custom_command(TARGET onnxport_cli POST_BUILD VERBATIM
  COMMAND sh -c "cd $1 && shift && \"$@\" man > onnxport.1 && gzip -9nf onnxport.1 && \"$@\" completion bash > onnxport \
&& \"$@\" completion zsh > _onnxport && \"$@\" completion fish > onnxport.fish"
  sh "${texts}" ${CMAKE_CROSSCOMPILING_EMULATOR} "$<TARGET_FILE:onnxport_cli>")
install(FILES "${texts}/onnxport.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT program)
install(FILES "${texts}/onnxport" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT program)
install(FILES "${texts}/_onnxport" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions" COMPONENT program)
install(FILES "${texts}/onnxport.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d"
  COMPONENT program)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/onnxport")
install(EXPORT onnxportTargets NAMESPACE onnxport:: DESTINATION "${package_dir}")
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/onnxportConfig.cmake"
  CONTENT "include(\"\${CMAKE_CURRENT_LIST_DIR}/onnxportTargets.cmake\")\n" @ONLY)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/onnxportConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/onnxportConfig.cmake" "${PROJECT_BINARY_DIR}/onnxportConfigVersion.cmake"
  DESTINATION "${package_dir}")
