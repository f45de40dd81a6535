//! Keys of SAELens' `cfg.json` whose values change no latent and no reconstruction.

/// How the SAE was trained, the model and the activations it was trained on, and where it was to be
/// saved. These are all keys that versions 0.1 to 6 wrote, except those that are read. The loaders
/// of these versions drop most of them, and compute nothing from the rest.
#[rustfmt::skip]
pub(super) const UNREAD: &[&str] = &[
    "act_store_device", "adam_beta1", "adam_beta2", "autocast", "autocast_lm",
    "aux_loss_coefficient", "b_dec_init_method", "cached_activations_path",
    "center_writing_weights", "checkpoint_path", "compile_llm", "compile_sae", "context_size",
    "dataset_path", "dataset_trust_remote_code", "dead_feature_estimation_method",
    "dead_feature_threshold", "dead_feature_window", "decoder_heuristic_init",
    "decoder_heuristic_init_norm", "decoder_init_norm", "decoder_orthogonal_init", "device",
    "eval_batch_size_prompts", "eval_every_n_wandb_logs", "exclude_special_tokens",
    "expansion_factor", "feature_reinit_scale", "feature_sampling_method",
    "feature_sampling_window", "finetuning_method", "finetuning_tokens", "from_pretrained_path",
    "hook_eval", "hook_head_index", "hook_layer", "hook_name", "hook_point", "hook_point_eval",
    "hook_point_head_index", "hook_point_layer", "init_encoder_as_decoder_transpose",
    "is_dataset_tokenized", "jumprelu_bandwidth", "jumprelu_init_threshold",
    "jumprelu_sparsity_loss_mode", "jumprelu_ste_to_input", "jumprelu_tanh_scale",
    "l0_coefficient", "l0_warm_up_steps", "l1_coefficient", "l1_warm_up_steps",
    "llm_compilation_mode", "log_activations_store_to_wandb", "log_optimizer_state_to_wandb",
    "log_to_wandb", "lp_norm", "lr", "lr_decay_steps", "lr_end", "lr_scheduler_name",
    "lr_warm_up_steps", "matryoshka_widths", "model_class_name", "model_from_pretrained_kwargs",
    "model_kwargs", "model_name", "mse_loss_normalization", "n_batches_in_buffer",
    "n_checkpoints", "n_eval_batches", "n_eval_seqs", "n_restart_cycles", "neuronpedia",
    "neuronpedia_id", "noise_scale", "normalize_sae_decoder", "pre_act_loss_coefficient",
    "prepend_bos", "resample_batches", "resume", "run_name", "sae_compilation_mode",
    "sae_lens_training_version", "scale_sparsity_penalty_by_decoder_norm", "seed",
    "seqpos_slice", "store_batch_size", "store_batch_size_prompts", "streaming", "target_l0",
    "tokens_per_buffer", "topk_threshold_lr", "total_training_tokens", "train_batch_size",
    "train_batch_size_tokens", "training_tokens", "use_cached_activations", "use_ghost_grads",
    "use_matryoshka_aux_loss", "use_sparse_activations", "verbose", "wandb_entity", "wandb_id",
    "wandb_log_frequency", "wandb_project",
];
