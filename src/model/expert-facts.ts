/**
 * What layers do with their routed experts: facts about the graphs that llama.cpp v0.5.0 builds (`src/models/`,
 * `build_moe_ffn` in `src/llama-graph.cpp`).
 */

/**
 * Architectures whose experts are down x (silu(gate) up), weighted by the router afterwards, and whose layers add that to
 * the residual stream as it is, without a norm or a factor.
 */
const plainlyAdded: ReadonlySet<string> = new Set([
  "bailingmoe",
  "bailingmoe2",
  "deepseek",
  "deepseek2",
  "deepseek32",
  "dots1",
  "ernie4_5-moe",
  "exaone-moe",
  "glm4moe",
  "hunyuan-moe",
  "hy_v3",
  "jamba",
  "kimi-linear",
  "laguna",
  "lfm2moe",
  "llama",
  "mellum",
  "mimo2",
  "minimax-m2",
  "olmoe",
  "phimoe",
  "qwen2moe",
  "qwen3moe",
]);

/** Whether what an architecture's routed experts compute goes into the residual stream as it is. */
export function addsExpertsPlainly(architecture: string): boolean {
  return plainlyAdded.has(architecture);
}
