/// Reusable modules. A module is a plain struct: its constructor takes a Scope and plain parameters and asks
/// for weights by key, and its const call operator builds nodes. It has no base class and no state except
/// weights.
#pragma once

#include "onnxport/nn/activation.h"
#include "onnxport/nn/alibi.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/audio_tasks.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/grid_bias.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/resnet.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/vision.h"
#include "onnxport/nn/window_attention.h"
