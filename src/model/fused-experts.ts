/** Gate and up of routed experts are one tensor in some files and two in others: which architectures may have either. */

/** Architectures whose loader in llama.cpp looks for `ffn_gate_up_exps` and takes two tensors in its place (`src/models/`). */
const architectures: ReadonlySet<string> = new Set([
  "cohere2moe",
  "deepseek2",
  "deepseek2-ocr",
  "gemma4",
  "granite_swa",
  "hy_v3",
  "qwen35moe",
  "qwen3next",
  "qwen4exp",
]);

/** Whether llama.cpp reads gate and up of all experts of a layer as one tensor as well as two. */
export function fusesGateAndUp(architecture: string): boolean {
  return architectures.has(architecture);
}
