/** Rotary position embeddings: where config.json says what of them, and the keys of stretched contexts. */
import { isJsonObject, type JsonValue } from "../../bytes/json.js";
import { MalformedInputError } from "../../errors.js";
import type { MetadataBuilder } from "./builder.js";
import type { Fields } from "./fields.js";
import type { MetadataContext, MetadataRule } from "./metadata-rules.js";

/** Fields beside the rope parameters that older files have, and their names among them. */
const mirrored = {
  rope_theta: "rope_theta",
  partial_rotary_factor: "partial_rotary_factor",
  original_max_position_embeddings: "original_max_position_embeddings",
} as const;

/**
 * `rope_parameters` or `rope_scaling`, with what stands beside them. Models with layers of two kinds have
 * parameters for each; then those of full attention are given.
 */
export function ropeParameters(config: Fields): Fields {
  const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
  const full = fields?.object("full_attention");
  const values = new Map<string, JsonValue>(full?.json ?? fields?.json ?? []);
  if (!full) {
    const type = values.get("type");
    if (!values.has("rope_type") && type !== undefined) {
      values.set("rope_type", type);
    }
    for (const [name, among] of Object.entries(mirrored)) {
      const value = config.value(name);
      if (value !== undefined && !isJsonObject(value) && (values.get(among) ?? null) === null) {
        values.set(among, value);
      }
    }
  }
  return config.with(values);
}

/** Keys of a stretched context and the base frequency. `others` are kinds that the family itself handles. */
export function ropeRules(others: readonly string[] = []): readonly MetadataRule[] {
  return [
    { key: "rope.scaling", add: (builder, key, context) => addScaling(builder, key, context, others) },
    {
      key: "rope.dimension_sections",
      add: (builder, key, { rope, config }) => {
        const sections = rope.items("mrope_section");
        if (sections.length === 0) {
          return;
        }
        if (!sections.every((size) => Number.isInteger(size)) || sections.length > 4) {
          config.wrong("mrope_section", "up to four whole numbers");
        }
        builder.int32s(key, [...sections.map(Number), 0, 0, 0, 0].slice(0, 4));
      },
    },
    {
      key: "rope.freq_base",
      add: (builder, key, { rope }) => builder.float32(key, rope.number("rope_theta")),
    },
    {
      key: "rope.freq_base_swa",
      add: (builder, key, { config }) => {
        const sliding = config.object("rope_parameters")?.object("sliding_attention");
        builder.float32(key, sliding?.number("rope_theta"));
      },
    },
  ];
}

function addScaling(
  builder: MetadataBuilder,
  key: string,
  { config, rope }: MetadataContext,
  others: readonly string[],
): void {
  const kind = rope.string("rope_type") ?? "default";
  if (kind === "default" || others.includes(kind)) {
    return;
  }
  if (kind !== "linear" && kind !== "yarn") {
    throw new MalformedInputError(
      `${config.file}: rope scaling "${kind}" is not supported; "linear" and "yarn" are.`,
      { file: config.file },
    );
  }
  builder.string(`${key}.type`, kind).float32(`${key}.factor`, rope.requireNumber("factor"));
  if (kind === "yarn") {
    builder
      .uint32(`${key}.original_context_length`, rope.requireSize("original_max_position_embeddings"))
      .float32(`${key}.yarn_ext_factor`, rope.number("extrapolation_factor"))
      .float32(`${key}.yarn_attn_factor`, rope.number("attention_factor") ?? rope.number("attn_factor"))
      .float32(`${key}.yarn_beta_fast`, rope.number("beta_fast"))
      .float32(`${key}.yarn_beta_slow`, rope.number("beta_slow"));
  }
}
