/** What an expert does to the products of gate and up: ggml's functions (`ggml/src/ggml-cpu/ops.cpp`, `vec.h`). */

type Activation = (gate: number, up: number) => number;

const silu = (x: number) => x / (1 + Math.exp(-x));

/** The approximation by a hyperbolic tangent that ggml has. */
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * x * (1 + 0.044715 * x * x)));

const relu = (x: number) => Math.max(x, 0);

/** gpt-oss: both products are bounded, and up is raised by one. */
function boundedSwiglu(gate: number, up: number): number {
  const limit = 7;
  const x = Math.min(gate, limit);
  const y = Math.min(Math.max(up, -limit), limit);
  return (x / (1 + Math.exp(-1.702 * x))) * (y + 1);
}

/** By the name that llama.cpp's graph gives the result (`build_moe_ffn`), without its beginning `ffn_moe_`. */
export const expertFunctions = {
  swiglu: (gate, up) => silu(gate) * up,
  geglu: (gate, up) => gelu(gate) * up,
  reglu: (gate, up) => relu(gate) * up,
  swiglu_oai: boundedSwiglu,
  silu: (_, up) => silu(up),
  gelu: (_, up) => gelu(up),
  relu: (_, up) => relu(up),
  relu_sqr: (_, up) => relu(up) ** 2,
} as const satisfies Record<string, Activation>;

export type ActivationName = keyof typeof expertFunctions;

/** Whether experts with this function have a gate. */
export function hasGate(name: ActivationName): boolean {
  return name === "swiglu_oai" || name.endsWith("glu");
}
