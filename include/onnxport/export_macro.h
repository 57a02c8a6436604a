// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks the API of programs and plugins. Everything else is compiled with hidden visibility. Put it on whole
/// classes and on free functions; a function with a static local that must be shared (a registry) belongs in
/// a source file, because an inline one would exist once per plugin.
#define ONNXPORT_API __attribute__((visibility("default")))
