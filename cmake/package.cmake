# The Debian package: `cpack -G DEB` in a build folder, best that of the release preset. It has the components `program`
# of install.cmake and `debian`, the files that only a package of Debian has.
set(ONNXPORT_PACKAGE_CONTACT "The onnxport developers <maintainers@onnxport.example>" CACHE STRING
  "Maintainer of the Debian package")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME onnxport)
set(CPACK_PACKAGE_CONTACT "${ONNXPORT_PACKAGE_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(CMAKE_CROSSCOMPILING)  # dpkg knows only this machine's processor and packages; portable.cmake says what is needed
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8)")
endif()
# Loaded when a model comes from the Hub. The second name is that of Debian 13.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, libcurl4 | libcurl4t64")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "exporter of Hugging Face checkpoints to validated ONNX files")
set(CPACK_PACKAGE_DESCRIPTION "onnxport reads checkpoints (safetensors, PyTorch, GGUF) without Python, writes
ONNX files and compares them with the model, computed in double precision.
It also times, compares and quantizes ONNX files of any producer.")

# Every package of Debian has its licences and its history.
set(deb "${PROJECT_BINARY_DIR}/deb")
string(TIMESTAMP package_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(CONFIGURE OUTPUT "${deb}/changelog" @ONLY CONTENT "onnxport (@PROJECT_VERSION@) unstable; urgency=medium

  * Package of version @PROJECT_VERSION@, made by CPack.

 -- @ONNXPORT_PACKAGE_CONTACT@  @package_date@
")
find_program(ONNXPORT_GZIP gzip REQUIRED)
execute_process(COMMAND "${ONNXPORT_GZIP}" -9nf "${deb}/changelog" COMMAND_ERROR_IS_FATAL ANY)
install(FILES "${deb}/changelog.gz" "${PROJECT_SOURCE_DIR}/cmake/package/copyright"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES "${PROJECT_SOURCE_DIR}/cmake/package/lintian-overrides"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/lintian/overrides" RENAME onnxport COMPONENT debian EXCLUDE_FROM_ALL)
include(CPack)
