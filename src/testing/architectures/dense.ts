/** Models without experts, as controls. */
import { float, model, slidingWindow, type TinyArchitecture } from "./parts.js";

export const denseModels: Readonly<Record<string, TinyArchitecture>> = {
  "dense-llama": model("llama", 2, {}),
  "dense-qwen3": model("qwen3", 2, {}, { tied: true }),
  "dense-gemma3": model("gemma3", 3, { ...slidingWindow, "rope.freq_base_swa": float(1e4) }, { tied: true }),
  "dense-mamba": model(
    "mamba",
    2,
    {
      "ssm.conv_kernel": 4,
      "ssm.inner_size": 512,
      "ssm.state_size": 16,
      "ssm.time_step_rank": 16,
      "attention.head_count": 0,
      "attention.head_count_kv": undefined,
      "attention.key_length": undefined,
      "attention.value_length": undefined,
      feed_forward_length: 0,
    },
    { tied: true },
  ),
};
