/// What an architecture's file includes, besides the modules that it uses.
#pragma once

#include "onnxport/model.h"
#include "onnxport/nn.h"
#include "onnxport/onnx_config.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/text_decoder_config.h"
#include "onnxport/text_encoder_config.h"
