#include "config/harmless.h"

#include <algorithm>
#include <iterator>

namespace onnxport::config {
namespace {

/// The origin of the file, options for running or printing the model, the names of a head's classes.
constexpr std::string_view bookkeeping[] = {"model_type",
                                            "architectures",
                                            "transformers_version",
                                            "name_or_path",
                                            "_name_or_path",
                                            "_commit_hash",
                                            "_num_labels",
                                            "auto_map",
                                            "tokenizer_class",
                                            "prefix",
                                            "task_specific_params",
                                            "finetuning_task",
                                            "finetuned",
                                            "problem_type",
                                            "id2label",
                                            "label2id",
                                            "num_labels",
                                            "dtype",
                                            "torch_dtype",
                                            "torchscript",
                                            "use_bfloat16",
                                            "return_dict",
                                            "output_attentions",
                                            "output_hidden_states",
                                            "output_router_logits",
                                            "use_cache",
                                            "chunk_size_feed_forward",
                                            "attn_implementation",
                                            "_attn_implementation",
                                            "_attn_implementation_autoset",
                                            "tie_encoder_decoder",
                                            "transformers.js_config"};

/// Not `pad_token_id`: positions and the last token of a row depend on it in some architectures.
constexpr std::string_view token_ids[] = {"bos_token_id",           "eos_token_id",
                                          "sep_token_id",           "cls_token_id",
                                          "decoder_start_token_id", "forced_bos_token_id",
                                          "forced_eos_token_id",    "force_bos_token_to_be_generated",
                                          "suppress_tokens",        "begin_suppress_tokens",
                                          "bad_words_ids",          "force_words_ids",
                                          "forced_decoder_ids"};

/// What GenerationConfig has: how a caller chooses tokens from the outputs of a graph.
constexpr std::string_view generation[] = {"max_length",
                                           "max_new_tokens",
                                           "min_length",
                                           "min_new_tokens",
                                           "early_stopping",
                                           "max_time",
                                           "stop_strings",
                                           "do_sample",
                                           "num_beams",
                                           "num_beam_groups",
                                           "penalty_alpha",
                                           "dola_layers",
                                           "temperature",
                                           "top_k",
                                           "top_p",
                                           "top_h",
                                           "min_p",
                                           "typical_p",
                                           "epsilon_cutoff",
                                           "eta_cutoff",
                                           "diversity_penalty",
                                           "repetition_penalty",
                                           "encoder_repetition_penalty",
                                           "length_penalty",
                                           "no_repeat_ngram_size",
                                           "encoder_no_repeat_ngram_size",
                                           "renormalize_logits",
                                           "constraints",
                                           "remove_invalid_values",
                                           "exponential_decay_length_penalty",
                                           "sequence_bias",
                                           "token_healing",
                                           "guidance_scale",
                                           "low_memory",
                                           "watermarking_config",
                                           "num_return_sequences",
                                           "output_scores",
                                           "output_logits",
                                           "return_dict_in_generate",
                                           "cache_implementation",
                                           "cache_config",
                                           "return_legacy_cache",
                                           "max_cache_len",
                                           "prefill_chunk_size",
                                           "is_assistant",
                                           "num_assistant_tokens",
                                           "num_assistant_tokens_schedule",
                                           "assistant_confidence_threshold",
                                           "assistant_early_exit",
                                           "assistant_lookbehind",
                                           "target_lookbehind",
                                           "prompt_lookup_num_tokens",
                                           "max_matching_ngram_size",
                                           "compile_config",
                                           "disable_compile"};

/// Used only by losses, by the initialization of new weights, or by noise in training.
constexpr std::string_view training[] = {"gradient_checkpointing",
                                         "tf_legacy_loss",
                                         "initializer_range",
                                         "initializer_factor",
                                         "initializer_cutoff_factor",
                                         "initializer_bias_prior_prob",
                                         "init_std",
                                         "init_xavier_std",
                                         "embed_init_std",
                                         "layer_norm_init",
                                         "logit_scale_init_value",
                                         "init_device",
                                         "router_aux_loss_coef",
                                         "router_jitter_noise",
                                         "input_jitter_noise",
                                         "label_smoothing",
                                         "label_noise_ratio",
                                         "box_noise_scale",
                                         "eos_coefficient",
                                         "focal_alpha",
                                         "matcher_alpha",
                                         "matcher_gamma",
                                         "class_cost",
                                         "bbox_cost",
                                         "giou_cost",
                                         "matcher_class_cost",
                                         "matcher_bbox_cost",
                                         "matcher_giou_cost",
                                         "apply_spec_augment",
                                         "mask_time_prob",
                                         "mask_time_length",
                                         "mask_time_min_masks",
                                         "mask_feature_prob",
                                         "mask_feature_length",
                                         "mask_feature_min_masks",
                                         "ctc_loss_reduction",
                                         "ctc_zero_infinity"};

template <class List>
bool contains(const List& list, std::string_view key) {
  return std::find(std::begin(list), std::end(list), key) != std::end(list);
}

bool is_dropout(std::string_view key) {
  // These two matter at inference: esm rescales its embeddings, speecht5 samples its prenet.
  if (key == "token_dropout" || key == "speech_decoder_prenet_dropout") return false;
  return key.find("dropout") != key.npos || key.ends_with("pdrop") || key.ends_with("layerdrop") ||
         (key.find("drop_") != key.npos && key.ends_with("_rate"));
}

bool is_loss(std::string_view key) {  // not `loss` itself, which chooses the head of some time series models
  return key.find("_loss") != key.npos || key.find("loss_") != key.npos;
}

}  // namespace

bool is_harmless(std::string_view key, bool declared_by_class) {
  return contains(bookkeeping, key) || contains(token_ids, key) || contains(training, key) ||
         is_dropout(key) || is_loss(key) || (!declared_by_class && contains(generation, key));
}

bool matters_only_if_read(std::string_view key, bool declared_by_class) {
  return (key == "pad_token_id" || key == "tie_word_embeddings") && !declared_by_class;
}

}  // namespace onnxport::config
