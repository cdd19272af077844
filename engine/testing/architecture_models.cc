#include "engine/testing/architecture_models.h"

#include <vector>

namespace baton {
namespace {

// Positions of a sliding window: a few prompts of the references go far beyond it.
constexpr int kWindow = 24;
constexpr bool kTied = true;
constexpr bool kUntied = false;
// Norms behind a part: what the layer adds still outweighs the embedding.
constexpr float kPostNorm = 3.0f;

// Layers as llama has them.
void AddPlainLayers(TinyModel& model, TinyBiases biases = {}) {
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention(biases);
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
  });
}

void AddPlainExpertLayers(TinyModel& model) {
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    model.AddNorm("ffn_norm");
    model.AddExperts();
  });
}

// Q and K normalised head by head with the same weights for every head.
void AddHeadNorms(TinyModel& model) {
  model.AddHeadNorm("attn_q_norm", model.key_size());
  model.AddHeadNorm("attn_k_norm", model.key_size());
}

// And with weights for each head.
void AddNormOfEachHead(TinyModel& model) {
  model.AddHeadNorm("attn_q_norm", model.key_size(), model.shape().head_count);
  model.AddHeadNorm("attn_k_norm", model.key_size(), model.shape().kv_head_count);
}

void Llama(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 16);
  model.AddEnds(kUntied);
  AddPlainLayers(model);
}

// Llama 3.1: frequencies are divided.
void LlamaFactors(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 16);
  model.SetFloat("rope.freq_base", 500000.0f);
  model.AddEnds(kTied);
  model.AddRopeFactors("rope_freqs", 8.0f);
  AddPlainLayers(model);
}

void LlamaExperts(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 16);
  model.SetFloat("rope.freq_base", 1e6f);
  model.SetExperts(
      {.used_count = 2, .size = model.shape().feed_forward_size, .has_size_key = false});
  model.AddEnds(kUntied);
  AddPlainExpertLayers(model);
}

void Qwen2(TinyModel& model) {
  model.SetShape({});
  model.SetFloat("rope.freq_base", 1e6f);
  model.AddEnds(kTied);
  AddPlainLayers(model, {.qkv = true});
}

void Qwen2Experts(TinyModel& model) {
  model.SetShape({});
  model.SetFloat("rope.freq_base", 1e6f);
  model.SetExperts({.shared_size = 80});
  model.SetCount("expert_shared_feed_forward_length", 80);
  model.AddEnds(kUntied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention({.qkv = true});
    model.AddNorm("ffn_norm");
    model.AddExperts();
    model.AddUniform("ffn_gate_inp_shexp.weight", model.shape().width, -0.4f, 0.4f);
  });
}

void Qwen3(TinyModel& model) {
  model.SetShape({.key_size = 24});
  model.SetFloat("rope.freq_base", 1e6f);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    AddHeadNorms(model);
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
  });
}

void Qwen3Experts(TinyModel& model) {
  model.SetShape({.key_size = 24});
  model.SetFloat("rope.freq_base", 1e6f);
  model.SetExperts({});
  model.AddEnds(kUntied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    AddHeadNorms(model);
    model.AddNorm("ffn_norm");
    model.AddExperts();
  });
}

void Gemma(TinyModel& model) {
  model.SetShape({.kv_head_count = 1, .key_size = 24});
  model.AddEnds(kTied);
  AddPlainLayers(model);
}

void Gemma2OfShape(TinyModel& model, const TinyShape& shape) {
  model.SetShape(shape);
  model.SetCount("attention.sliding_window", kWindow);
  model.SetFloat("attn_logit_softcapping", 6.0f);
  model.SetFloat("final_logit_softcapping", 10.0f);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    model.AddNorm("post_attention_norm", kPostNorm);
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
    model.AddNorm("post_ffw_norm", kPostNorm);
  });
}

void Gemma2(TinyModel& model) { Gemma2OfShape(model, {.key_size = 24}); }

// The largest scales its scores by another rule, which its number of layers tells.
void Gemma2Largest(TinyModel& model) {
  Gemma2OfShape(model, {.layer_count = 46, .width = 32, .key_size = 16, .feed_forward_size = 32});
}

void Gemma3OfShape(TinyModel& model, const TinyShape& shape) {
  model.SetShape(shape);
  model.SetCount("attention.sliding_window", kWindow);
  model.SetFloat("rope.freq_base", 1e6f);
  model.SetText("rope.scaling.type", "linear");
  model.SetFloat("rope.scaling.factor", 8.0f);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    AddHeadNorms(model);
    model.AddNorm("post_attention_norm", kPostNorm);
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
    model.AddNorm("post_ffw_norm", kPostNorm);
  });
}

// Five layers with a window, one without, and one more.
void Gemma3(TinyModel& model) {
  Gemma3OfShape(model, {.layer_count = 7, .kv_head_count = 1, .key_size = 24});
}

// As Gemma2Largest.
void Gemma3Largest(TinyModel& model) {
  Gemma3OfShape(
      model,
      {.layer_count = 62, .width = 32, .key_size = 16, .feed_forward_size = 32, .gain = 1.2f});
}

void AddPhi3Layers(TinyModel& model) {
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddFusedAttention();
    model.AddNorm("ffn_norm");
    model.AddFusedFeedForward();
  });
}

void Phi3(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 16);
  model.SetCount("rope.scaling.original_context_length", 512);
  model.SetCount("attention.sliding_window", kWindow);  // which no reader heeds
  model.AddEnds(kUntied);
  AddPhi3Layers(model);
}

void Phi3Longrope(TinyModel& model, int context_length, int original_context) {
  model.SetShape({.context_length = context_length});
  model.SetCount("rope.dimension_count", 16);
  model.SetCount("rope.scaling.original_context_length", original_context);
  model.SetFloat("rope.scaling.attn_factor", 1.19f);
  model.AddEnds(kTied);
  model.AddRopeFactors("rope_factors_long", 12.0f);
  model.AddRopeFactors("rope_factors_short", 1.5f);
  AddPhi3Layers(model);
}

void Phi3Long(TinyModel& model) { Phi3Longrope(model, 1024, 256); }
void Phi3Short(TinyModel& model) { Phi3Longrope(model, 512, 512); }

void AddOlmo2Layers(TinyModel& model) {
  model.ForEachLayer([&](int) {
    model.AddAttention();
    model.AddHeadNorm("attn_q_norm", model.shape().head_count * model.key_size());
    model.AddHeadNorm("attn_k_norm", model.shape().kv_head_count * model.key_size());
    model.AddNorm("post_attention_norm", kPostNorm);
    model.AddFeedForward();
    model.AddNorm("post_ffw_norm", kPostNorm);
  });
}

void Olmo2(TinyModel& model) {
  model.SetShape({});
  model.SetFloat("rope.freq_base", 500000.0f);
  model.AddEnds(kUntied);
  AddOlmo2Layers(model);
}

// OLMo 3: three layers of four have a window, and no yarn.
void Olmo2Window(TinyModel& model) {
  model.SetShape({.layer_count = 5});
  model.SetFloat("rope.freq_base", 500000.0f);
  model.SetYarn(8.0f, 64);
  // Nor do readers heed these.
  model.SetFloat("rope.scaling.yarn_attn_factor", 1.2079f);
  model.SetFloat("rope.scaling.yarn_beta_fast", 32.0f);
  model.SetFloat("rope.scaling.yarn_beta_slow", 1.0f);
  model.SetCount("attention.sliding_window", kWindow);
  model.SetFlags("attention.sliding_window_pattern", {true, true, true, false, true});
  model.AddEnds(kUntied);
  AddOlmo2Layers(model);
}

void SetGraniteScales(TinyModel& model) {
  model.SetFloat("embedding_scale", 6.0f);
  model.SetFloat("residual_scale", 0.4f);
  model.SetFloat("attention.scale", 0.15f);
  model.SetFloat("logit_scale", 1.5f);  // logits are divided by it
}

void Granite(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 16);
  SetGraniteScales(model);
  model.AddEnds(kTied);
  AddPlainLayers(model);
}

void GraniteWithoutRope(TinyModel& model) {
  Granite(model);
  model.SetFlag("rope.scaling.finetuned", false);
}

void GraniteExpertLayers(TinyModel& model, int shared_size) {
  model.SetShape({.feed_forward_size = 48});
  model.SetCount("rope.dimension_count", 16);
  SetGraniteScales(model);
  model.SetExperts({.has_size_key = false, .shared_size = shared_size});
  model.AddEnds(kTied);
  AddPlainExpertLayers(model);
}

void GraniteExperts(TinyModel& model) { GraniteExpertLayers(model, 0); }

void GraniteSharedExpert(TinyModel& model) {
  GraniteExpertLayers(model, 80);
  model.SetCount("expert_shared_feed_forward_length", 80);
}

void SmolLm3(TinyModel& model) {
  model.SetShape({.layer_count = 5});  // the fourth has no rope
  model.SetCount("rope.dimension_count", 16);
  model.SetFloat("rope.freq_base", 5e6f);
  model.AddEnds(kTied);
  AddPlainLayers(model);
}

void SetStableLmKeys(TinyModel& model, bool parallel) {
  model.SetShape({.norm = TinyNorm::kBiasedLayer});
  model.SetCount("rope.dimension_count", 4);
  model.SetFlag("use_parallel_residual", parallel);
  model.AddEnds(kUntied);
}

void StableLm(TinyModel& model) {
  SetStableLmKeys(model, false);
  AddPlainLayers(model, {.qkv = true});
}

void StableLmParallelLayers(TinyModel& model, bool head_norms) {
  SetStableLmKeys(model, true);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    if (head_norms) AddNormOfEachHead(model);
    model.AddFeedForward();
  });
}

void StableLmParallel(TinyModel& model) { StableLmParallelLayers(model, false); }
void StableLmParallelNorms(TinyModel& model) { StableLmParallelLayers(model, true); }

void StarCoder2(TinyModel& model) {
  model.SetShape({.norm = TinyNorm::kBiasedLayer});
  model.SetFloat("rope.freq_base", 999999.4f);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention({.qkv = true, .output = true});
    model.AddNorm("ffn_norm");
    model.AddLinear("ffn_up", model.shape().width, model.shape().feed_forward_size, true);
    model.AddLinear("ffn_down", model.shape().feed_forward_size, model.shape().width, true);
  });
}

void AddCohereLayers(TinyModel& model, bool head_norms = false) {
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    if (head_norms) AddNormOfEachHead(model);
    model.AddFeedForward();
  });
}

void CommandR(TinyModel& model) {
  model.SetShape({.norm = TinyNorm::kLayer});
  model.SetFloat("rope.freq_base", 8e6f);
  model.SetText("rope.scaling.type", "none");
  model.SetFloat("logit_scale", 0.75f);
  model.AddEnds(kTied);
  AddCohereLayers(model);
}

// Command R+: the reference looks for the norms from 64 layers on.
void CommandRNorms(TinyModel& model) {
  model.SetShape(
      {.layer_count = 64, .width = 32, .feed_forward_size = 32, .norm = TinyNorm::kLayer});
  model.SetFloat("rope.freq_base", 75e6f);
  model.SetText("rope.scaling.type", "none");
  model.SetFloat("logit_scale", 0.75f);
  model.AddEnds(kTied);
  AddCohereLayers(model, true);
}

void Cohere2(TinyModel& model) {
  model.SetShape({.layer_count = 5, .norm = TinyNorm::kLayer});
  model.SetCount("attention.sliding_window", kWindow);
  model.SetCount("rope.dimension_count", 16);
  model.SetFloat("rope.freq_base", 50000.0f);
  model.SetText("rope.scaling.type", "none");
  model.SetFloat("logit_scale", 0.75f);
  model.AddEnds(kTied);
  AddCohereLayers(model);
}

void Glm4(TinyModel& model) {
  model.SetShape({});
  model.SetCount("rope.dimension_count", 8);
  model.AddEnds(kUntied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention({.qkv = true});
    model.AddNorm("post_attention_norm", kPostNorm);
    model.AddNorm("ffn_norm");
    model.AddFusedFeedForward();
    model.AddNorm("post_ffw_norm", kPostNorm);
  });
}

void Ernie45(TinyModel& model) {
  model.SetShape({.key_size = 24});
  model.SetFloat("rope.freq_base", 500000.0f);
  model.AddEnds(kTied);
  AddPlainLayers(model);
}

void Ernie45Experts(TinyModel& model) {
  model.SetShape({.key_size = 24});
  model.SetFloat("rope.freq_base", 500000.0f);
  model.SetExperts({.shared_size = 80});
  model.SetCount("expert_shared_feed_forward_length", 80);
  model.SetCount("expert_shared_count", 2);
  model.SetCount("interleave_moe_layer_step", 1);
  model.SetCount("leading_dense_block_count", 1);
  model.AddEnds(kUntied);
  model.ForEachLayer([&](int layer) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    model.AddNorm("ffn_norm");
    if (layer == 0) return model.AddFeedForward();
    model.AddExperts();
    model.AddUniform("exp_probs_b.bias", 8, -0.2f, 0.2f);
  });
}

// The base is already raised, and the rest must change nothing.
void SetHunyuanRope(TinyModel& model) {
  model.SetFloat("rope.freq_base", 11158840.0f);
  model.SetText("rope.scaling.type", "none");
  model.SetFloat("rope.scaling.factor", 1.0f);
  model.SetCount("rope.scaling.original_context_length", model.shape().context_length);
}

void HunyuanDense(TinyModel& model) {
  model.SetShape({.key_size = 24});
  SetHunyuanRope(model);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    AddHeadNorms(model);
    model.AddNorm("ffn_norm");
    model.AddFeedForward();
  });
}

// The reader raises the base.
void HunyuanDenseAlpha(TinyModel& model) {
  HunyuanDense(model);
  model.SetFloat("rope.scaling.alpha", 50.0f);
}

void HunyuanExperts(TinyModel& model) {
  model.SetShape({.key_size = 24, .feed_forward_size = 48});
  SetHunyuanRope(model);
  model.SetExperts({.shared_size = 80});
  model.SetCount("expert_shared_feed_forward_length", 80);
  model.SetCount("expert_shared_count", 1);
  model.AddEnds(kTied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention();
    AddHeadNorms(model);
    model.AddNorm("ffn_norm");
    model.AddExperts();
  });
}

// Multi-head latent attention.
struct Latent {
  int query_rank = 0;  // 0: Q comes from the hidden row
  int rank = 32;
  int plain = 16;     // elements of a head of Q and K that are not rotated
  int rotated = 8;    // and that are
  int value = 16;     // elements of a head of V
  bool split = true;  // K and V have tensors of their own, and the latent is what is stored
};

void SetLatentShape(TinyModel& model, const Latent& latent, TinyShape shape) {
  const int key_size = latent.plain + latent.rotated;
  shape.kv_head_count = latent.split ? 1 : shape.head_count;
  shape.key_size = latent.split ? latent.rank + latent.rotated : key_size;
  shape.value_size = latent.split ? latent.rank : latent.value;
  model.SetShape(shape);
  model.SetCount("rope.dimension_count", latent.rotated);
  model.SetCount("attention.kv_lora_rank", latent.rank);
  if (latent.query_rank > 0) model.SetCount("attention.q_lora_rank", latent.query_rank);
  if (!latent.split) return;
  model.SetCount("attention.key_length_mla", key_size);
  model.SetCount("attention.value_length_mla", latent.value);
}

void AddLatentAttention(TinyModel& model, const Latent& latent) {
  const int width = model.shape().width;
  const int heads = model.shape().head_count;
  const int query_size = heads * (latent.plain + latent.rotated);
  if (latent.query_rank > 0) {
    model.AddLinear("attn_q_a", width, latent.query_rank);
    model.AddHeadNorm("attn_q_a_norm", latent.query_rank);
    model.AddLinear("attn_q_b", latent.query_rank, query_size);
  } else {
    model.AddLinear("attn_q", width, query_size);
  }
  model.AddLinear("attn_kv_a_mqa", width, latent.rank + latent.rotated);
  model.AddHeadNorm("attn_kv_a_norm", latent.rank);
  if (latent.split) {
    model.AddStack("attn_k_b", latent.plain, latent.rank, heads);
    model.AddStack("attn_v_b", latent.rank, latent.value, heads);
  } else {
    model.AddLinear("attn_kv_b", latent.rank, heads * (latent.plain + latent.value));
  }
  model.AddLinear("attn_output", heads * latent.value, width);
}

void AddDeepSeekLayers(TinyModel& model, const Latent& latent, int dense_count, int choice_biases) {
  model.SetCount("leading_dense_block_count", dense_count);
  model.ForEachLayer([&](int layer) {
    model.AddNorm("attn_norm");
    AddLatentAttention(model, latent);
    model.AddNorm("ffn_norm");
    if (layer < dense_count) return model.AddFeedForward();
    model.AddExperts();
    if (choice_biases > 0) model.AddUniform("exp_probs_b.bias", choice_biases, -0.4f, 0.4f);
  });
}

// DeepSeek V2 Lite: the reference knows it by its number of layers.
void DeepSeek2Lite(TinyModel& model) {
  const Latent latent = {.rank = 16, .plain = 8, .value = 8};
  SetLatentShape(model, latent,
                 {.layer_count = 26,
                  .width = 32,
                  .feed_forward_size = 64,
                  .context_length = 4096,
                  .gain = 1.2f});
  model.SetYarn(8.0f, 64);
  model.SetFloat("rope.scaling.yarn_log_multiplier", 0.0707f);
  model.SetExperts({.used_count = 2, .size = 16, .shared_size = 32, .fused = true});
  model.SetCount("expert_shared_count", 2);
  model.SetCount("expert_group_count", 1);
  model.SetCount("expert_group_used_count", 1);
  model.SetFloat("expert_weights_scale", 1.0f);
  model.AddEnds(kUntied);
  // Choices of experts add up over so many layers: few have any.
  AddDeepSeekLayers(model, latent, 22, 0);
}

void DeepSeek3Layers(TinyModel& model, const Latent& latent) {
  SetLatentShape(model, latent, {});
  model.SetYarn(8.0f, 64);
  model.SetFloat("rope.scaling.yarn_log_multiplier", 0.1f);
  model.SetExperts({.count = 16, .used_count = 4, .size = 32, .shared_size = 32});
  model.SetCount("expert_shared_count", 1);
  model.SetFloat("expert_weights_scale", 2.5f);
  model.SetFlag("expert_weights_norm", true);
  model.SetCount("expert_gating_func", 2);  // sigmoid
  model.SetCount("expert_group_count", 4);
  model.SetCount("expert_group_used_count", 2);
  model.AddEnds(kUntied);
  AddDeepSeekLayers(model, latent, 1, 16);
}

void DeepSeek3(TinyModel& model) { DeepSeek3Layers(model, {.query_rank = 32, .rotated = 16}); }

// As files were before the latent was what is stored.
void DeepSeek3Unsplit(TinyModel& model) {
  DeepSeek3Layers(model, {.query_rank = 32, .rotated = 16, .split = false});
}

void GptOss(TinyModel& model) {
  model.SetShape({.key_size = 32, .context_length = 2048});
  model.SetCount("attention.sliding_window", kWindow);
  model.SetFloat("rope.freq_base", 150000.0f);
  model.SetYarn(32.0f, 64);
  model.SetFloat("rope.scaling.yarn_beta_fast", 32.0f);
  model.SetFloat("rope.scaling.yarn_beta_slow", 1.0f);
  model.SetExperts({.size = 64, .biases = true, .type = TensorType::kMXFP4});
  model.AddEnds(kUntied);
  model.ForEachLayer([&](int) {
    model.AddNorm("attn_norm");
    model.AddAttention({.qkv = true, .output = true});
    model.AddUniform("attn_sinks.weight", model.shape().head_count, -2.0f, 4.0f);
    model.AddNorm("post_attention_norm");
    model.AddExperts();
  });
}

constexpr ArchitectureModel kModels[] = {
    {"llama", "llama", Llama, 18},
    {"llama-factors", "llama", LlamaFactors, 20},
    {"llama-experts", "llama", LlamaExperts, 29},
    {"qwen2", "qwen2", Qwen2, 11},
    {"qwen2moe", "qwen2moe", Qwen2Experts, 24},
    {"qwen3", "qwen3", Qwen3, 28},
    {"qwen3moe", "qwen3moe", Qwen3Experts, 25},
    {"gemma", "gemma", Gemma, 20},
    {"gemma2", "gemma2", Gemma2, 3},
    {"gemma2-27b", "gemma2", Gemma2Largest, 34},
    {"gemma3", "gemma3", Gemma3, 28},
    {"gemma3-27b", "gemma3", Gemma3Largest, 27},
    {"phi3", "phi3", Phi3, 30},
    {"phi3-long", "phi3", Phi3Long, 27},
    {"phi3-short", "phi3", Phi3Short, 28},
    {"olmo2", "olmo2", Olmo2, 29},
    {"olmo2-window", "olmo2", Olmo2Window, 4},
    {"granite", "granite", Granite, 3},
    {"granite-norope", "granite", GraniteWithoutRope, 6},
    {"granitemoe", "granitemoe", GraniteExperts, 12},
    {"granitemoe-shared", "granitemoe", GraniteSharedExpert, 22},
    {"smollm3", "smollm3", SmolLm3, 22},
    {"stablelm", "stablelm", StableLm, 27},
    {"stablelm-parallel", "stablelm", StableLmParallel, 11},
    {"stablelm-parallel-norms", "stablelm", StableLmParallelNorms, 4},
    {"starcoder2", "starcoder2", StarCoder2, 18},
    {"command-r", "command-r", CommandR, 10},
    {"command-r-norms", "command-r", CommandRNorms, 24},
    {"cohere2", "cohere2", Cohere2, 23},
    {"glm4", "glm4", Glm4, 24},
    {"ernie4_5", "ernie4_5", Ernie45, 11},
    {"ernie4_5-moe", "ernie4_5-moe", Ernie45Experts, 14},
    {"hunyuan-dense", "hunyuan-dense", HunyuanDense, 12},
    {"hunyuan-dense-alpha", "hunyuan-dense", HunyuanDenseAlpha, 5},
    {"hunyuan-moe", "hunyuan-moe", HunyuanExperts, 1},
    {"deepseek2-lite", "deepseek2", DeepSeek2Lite, 11},
    {"deepseek2-v3", "deepseek2", DeepSeek3, 33},
    {"deepseek2-v3-unsplit", "deepseek2", DeepSeek3Unsplit, 17},
    {"gpt-oss", "gpt-oss", GptOss, 13},
};

}  // namespace

absl::Span<const ArchitectureModel> AllArchitectureModels() { return kModels; }

const ArchitectureModel* FindArchitectureModel(absl::string_view name) {
  for (const ArchitectureModel& model : kModels) {
    if (name == model.name) return &model;
  }
  return nullptr;
}

absl::Status WriteArchitectureModel(const ArchitectureModel& variant,
                                    const TinyModelOptions& options, const std::string& path) {
  TinyModel model(variant.architecture, options);
  variant.describe(model);
  return model.Write(path);
}

}  // namespace baton
