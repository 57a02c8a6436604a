// SAM 2 for videos, as far as a single image goes: without the memory of other images. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam2_video/modeling_sam2_video.py
#include "models/vision/common/sam2.h"

namespace onnxport::models {
void register_sam2_video(TasksManager& tasks) {
  ModelDefinition definition =
      sam2_definition("sam2_video", {.vision_type = "sam2_vision_model", .encode = encode_sam2_image});
  const Forward forward = definition.forward;
  definition.forward = [forward](const Inputs& inputs, const Model& model, const Component& component) {
    // Of the memory.
    model.config().harmless({"num_maskmem",
                             "image_size",
                             "sigmoid_scale_for_mem_enc",
                             "sigmoid_bias_for_mem_enc",
                             "enable_occlusion_spatial_embedding",
                             "enable_temporal_pos_encoding_for_object_pointers",
                             "max_object_pointers_in_encoder",
                             "memory_attention_hidden_size",
                             "memory_attention_num_layers",
                             "memory_attention_num_attention_heads",
                             "memory_attention_downsample_rate",
                             "memory_attention_feed_forward_hidden_size",
                             "memory_attention_feed_forward_hidden_act",
                             "memory_attention_dropout",
                             "memory_attention_rope_theta",
                             "memory_attention_rope_feat_sizes",
                             "memory_attention_rope_dropout",
                             "memory_encoder_hidden_size",
                             "memory_encoder_output_channels",
                             "mask_downsampler_embed_dim",
                             "mask_downsampler_kernel_size",
                             "mask_downsampler_stride",
                             "mask_downsampler_padding",
                             "mask_downsampler_total_stride",
                             "mask_downsampler_hidden_act",
                             "memory_fuser_num_layers",
                             "memory_fuser_embed_dim",
                             "memory_fuser_intermediate_dim",
                             "memory_fuser_kernel_size",
                             "memory_fuser_padding",
                             "memory_fuser_layer_scale_init_value",
                             "memory_fuser_hidden_act"});
    // Whether a click in a video gives several masks; the exported model always does.
    model.config().harmless({"multimask_output_in_sam", "multimask_min_pt_num", "multimask_max_pt_num",
                             "multimask_output_for_tracking"});
    return forward(inputs, model, component);
  };
  tasks.register_model<Sam2OnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
