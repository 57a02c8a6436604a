# A toolchain file: builds for Linux on aarch64 on another machine. `tools/setup.sh aarch64` installs Debian's
# cross-compiler, and Debian's libraries for arm64 in a folder of their own.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ONNXPORT_DEPS_DIR)

set(aarch64_root "${ONNXPORT_DEPS_DIR}/aarch64-root-1")
set(CMAKE_FIND_ROOT_PATH "${aarch64_root}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)  # headers that fit every processor are those of the machine
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES "${aarch64_root}/usr/include"
  "${aarch64_root}/usr/include/aarch64-linux-gnu")
set(CMAKE_CROSSCOMPILING_EMULATOR env "AARCH64_ROOT=${aarch64_root}" "${CMAKE_CURRENT_LIST_DIR}/../tools/qemu_aarch64.sh")
