/// What glibc has had on this processor from its first release for it on.
#pragma once

#if defined __x86_64__
#define ONNXPORT_FIRST_GLIBC "GLIBC_2.2.5"
constexpr int kStatVersion = 1;
#elif defined __aarch64__
#define ONNXPORT_FIRST_GLIBC "GLIBC_2.17"
constexpr int kStatVersion = 0;
#else
#error "the versions of glibc's symbols are known for x86_64 and aarch64"
#endif
