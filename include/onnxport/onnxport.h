/// The API for programs and plugins.
#pragma once

#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/hub.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/nn.h"
#include "onnxport/onnx_config.h"
#include "onnxport/op.h"
#include "onnxport/plan.h"
#include "onnxport/plugin.h"
#include "onnxport/proof.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/text_decoder_config.h"
#include "onnxport/text_encoder_config.h"
#include "onnxport/validate.h"
#include "onnxport/version.h"
