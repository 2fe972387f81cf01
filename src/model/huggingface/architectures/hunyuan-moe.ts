import { MalformedInputError } from "../../../errors.js";
import { mostOfFacts } from "../../architecture.js";
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { float32, type MetadataContext, text, uint32 } from "../metadata-rules.js";
import { inLayers, rule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  attention,
  commonSizes,
  embeddingAndOutput,
  expertsOneByOne,
  feedForward,
  layerNorms,
  layerPrefix,
  router,
} from "./common.js";

/** The context that the usual stretching gives, whatever config.json says. */
const stretchedContext = 262144;

/** Hunyuan-A13B: llama.cpp `src/models/hunyuan-moe.cpp`. Most sizes are lists with an entry for each layer. */
export const hunyuanMoe: ModelFamily = {
  huggingFace: ["HunYuanMoEV1ForCausalLM"],
  gguf: "hunyuan-moe",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...inLayers(layerPrefix, [
      rule("self_attn.query_layernorm.weight", "attn_q_norm.weight", ["head"]),
      rule("self_attn.key_layernorm.weight", "attn_k_norm.weight", ["head"]),
    ]),
    ...router("mlp.gate.wg.weight"),
    ...expertsOneByOne("mlp.experts."),
    ...feedForward("mlp.shared_mlp.", "sharedFeedForward", "_shexp"),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    experts: config.requireSize("num_experts", mostOfFacts.experts),
    expertFeedForward: sameInAllLayers(config, "moe_intermediate_size"),
    sharedFeedForward: config.requireSize("intermediate_size"),
  }),
  ropeKinds: ["dynamic"],
  metadata: [
    ...textModelKeys(["dynamic"]),
    uint32("expert_shared_feed_forward_length", "intermediate_size"),
    uint32("expert_feed_forward_length", ({ config }) => sameInAllLayers(config, "moe_intermediate_size")),
    uint32("expert_used_count", ({ config }) => sameInAllLayers(config, "moe_topk")),
    uint32("expert_shared_count", ({ config }) => sameInAllLayers(config, "num_shared_expert")),
    float32("rope.freq_base", (context) =>
      isDynamic(context) ? stretchedBase(context) : context.rope.number("rope_theta"),
    ),
    text("rope.scaling.type", (context) => (isDynamic(context) ? "none" : undefined)),
    float32("rope.scaling.factor", (context) => (isDynamic(context) ? 1 : undefined)),
    uint32("rope.scaling.original_context_length", (context) =>
      isDynamic(context) ? stretchedContext : undefined,
    ),
    uint32("context_length", (context) =>
      isDynamic(context) ? stretchedContext : context.config.requireSize("max_position_embeddings"),
    ),
  ],
};

function isDynamic({ rope }: MetadataContext): boolean {
  return rope.string("rope_type") === "dynamic";
}

/** NTK-aware scaling: the base frequency grows with `alpha`, which is for a context of 262144 tokens. */
function stretchedBase({ config, rope }: MetadataContext): number {
  const alpha = rope.number("alpha") ?? 1000;
  const base = rope.number("rope_theta") ?? 10000;
  const head = config.requireSize("hidden_size") / config.requireSize("num_attention_heads");
  if (alpha !== 1000 || base !== 10000 || head !== 128) {
    throw new MalformedInputError(
      `${config.file}: the dynamic rope scaling has alpha ${alpha}, base ${base} and heads of ${head}; llama.cpp knows the context of 1000, 10000 and 128 only.`,
      { file: config.file },
    );
  }
  return base * alpha ** (head / (head - 2));
}

/** The value of a list that has the same for each layer, or of a plain number. */
function sameInAllLayers(config: Fields, name: string): number {
  if (typeof config.value(name) === "number") {
    return config.requireSize(name);
  }
  const [first, ...others] = config.items(name);
  if (
    typeof first !== "number" ||
    !Number.isInteger(first) ||
    first < 1 ||
    others.some((item) => item !== first)
  ) {
    return config.wrong(name, "one number, the same for each layer");
  }
  return first;
}
