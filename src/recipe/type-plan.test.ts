import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { UsageError } from "../errors.js";
import type { TypeName } from "../quants/types.js";
import { llamaQuantizeTypes } from "../testing/llama-quantize.js";
import { type ModelGeometry, modelGeometries, writeGeometry } from "../testing/model-geometries.js";
import { temporaryFolder } from "../testing/temporary.js";
import { ftypeNumber } from "./ftypes.js";
import type { TypeOverrides } from "./overrides.js";
import { loadRecipe } from "./presets.js";
import { parseRecipe } from "./recipe.js";
import { chooseTypes, planTypes, type TypePlan } from "./type-plan.js";

function geometryOf(title: string): ModelGeometry {
  return modelGeometries.find((geometry) => geometry.title.startsWith(title))!;
}

const mixtral = geometryOf("llama, 8 experts (Mixtral)");
const tiedMoe = geometryOf("qwen3moe, 4 experts, tied");
const dense = geometryOf("llama 65B");
const narrow = geometryOf("qwen3moe, 16 experts");

interface Case {
  readonly overrides?: TypeOverrides;
  /** Undefined is an importance matrix with all entries. */
  readonly hasImportance?: ((name: string) => boolean) | "none";
}

/** Plans with a recipe of this base and these rules, one per line. */
function plan(model: ModelGeometry, base: string, rules: string[] = [], options: Case = {}): TypePlan {
  const text = `name: mine\nbase: ${base}\nrules:${rules.length === 0 ? " []" : ""}\n${rules.map((rule) => `  - { ${rule} }\n`).join("")}`;
  return planTypes({
    ...model,
    recipe: parseRecipe(text, "mine.yaml"),
    overrides: options.overrides ?? {},
    hasImportance: options.hasImportance === "none" ? undefined : (options.hasImportance ?? (() => true)),
  });
}

function typeOf({ tensors }: TypePlan, name: string): TypeName {
  return tensors.find((tensor) => tensor.name === name)!.to;
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  throw new assert.AssertionError({ message: "nothing was refused" });
}

describe("rules", () => {
  test("the first rule that matches decides, options come before rules, and the base fills the rest", () => {
    const { tensors, warnings } = plan(
      mixtral,
      "Q4_K_M",
      [
        "tensors: routed.down, layers: [0-2, 9], type: Q6_K",
        "tensors: routed, type: Q3_K",
        "match: '^blk\\.1\\.attn_q', type: F16",
      ],
      { overrides: { tensorTypes: [{ pattern: "BLK\\.2\\.ffn_down", type: "Q5_0" }] } },
    );
    const found = new Map(tensors.map(({ name, to, reason }) => [name, `${to} by ${reason}`]));
    assert.equal(found.get("blk.0.ffn_down_exps.weight"), "Q6_K by rule 1 of mine");
    assert.equal(found.get("blk.9.ffn_down_exps.weight"), "Q6_K by rule 1 of mine");
    assert.equal(found.get("blk.2.ffn_down_exps.weight"), "Q5_0 by `tensorType` BLK\\.2\\.ffn_down=Q5_0");
    assert.equal(found.get("blk.3.ffn_down_exps.weight"), "Q3_K by rule 2 of mine");
    assert.equal(found.get("blk.1.attn_q.weight"), "F16 by rule 3 of mine");
    assert.equal(found.get("blk.0.attn_v.weight"), "Q8_0 by Q4_K_M mixture");
    assert.equal(found.get("blk.0.ffn_gate_inp.weight"), "F32 by never quantized");
    assert.deepEqual(warnings, []);
  });

  test("the plan keeps the order of the file", () => {
    assert.deepEqual(
      plan(mixtral, "Q4_K_M").tensors.map(({ name }) => name),
      mixtral.tensors.map(({ name }) => name),
    );
  });

  test("presets choose what llama-quantize chooses with the same options", async (t) => {
    const path = await writeGeometry(join(await temporaryFolder(t), "model.gguf"), narrow);
    const asym = llamaQuantizeTypes(path, {
      ftype: ftypeNumber("IQ3_S"),
      hasImatrix: true,
      tokenEmbeddingType: "Q6_K",
      outputTensorType: "Q6_K",
      tensorTypes: [
        { pattern: "ffn_(gate|up)_exps", type: "IQ2_S" },
        { pattern: "ffn_down_exps", type: "IQ3_S" },
        { pattern: "attn_(q|k|v|output)\\.", type: "Q4_K" },
      ],
    });
    const antirez = llamaQuantizeTypes(path, {
      ftype: ftypeNumber("Q8_0"),
      hasImatrix: true,
      tensorTypes: [
        { pattern: "ffn_(gate|up)_exps", type: "IQ2_XXS" },
        { pattern: "ffn_down_exps", type: "Q2_K" },
      ],
    });
    for (const [name, expected] of [
      ["asym-2bit-experts", asym],
      ["antirez-q2", antirez],
    ] as const) {
      const { tensors } = chooseTypes({
        ...narrow,
        recipe: await loadRecipe(name),
        hasImportance: () => true,
      });
      assert.deepEqual(
        new Map(tensors.map((tensor) => [tensor.name, tensor.to])),
        new Map(sorted(expected, tensors)),
      );
    }
  });

  test("in a tied model the token embedding follows rules for the output", () => {
    const rules = ["tensors: output, type: Q6_K", "tensors: embedding, type: Q4_K, optional: true"];
    assert.equal(typeOf(plan(tiedMoe, "Q8_0", rules), "token_embd.weight"), "Q6_K");
    assert.equal(typeOf(plan(mixtral, "Q8_0", rules), "token_embd.weight"), "Q4_K");
  });

  test("the shipped preset fits tied and fused models, but no dense one", async () => {
    const recipe = await loadRecipe("asym-2bit-experts");
    const at = (model: ModelGeometry) => planTypes({ ...model, recipe, hasImportance: () => true });
    assert.equal(typeOf(at(tiedMoe), "token_embd.weight"), "Q6_K");
    assert.equal(typeOf(at(geometryOf("gpt-oss")), "blk.0.ffn_gate_up_exps.weight"), "IQ2_S");
    assert.equal(
      refusal(() => at(dense)),
      "recipes/asym-2bit-experts.yaml:5: rule 1 (routed.gate, routed.up, routed.gate_up) matches no tensor of this model; its roles are attention.k, attention.output, attention.q, attention.v, dense.down, dense.gate, dense.up, embedding, output.",
    );
  });

  test("a rule with several roles is satisfied by one of them, an optional rule by none", () => {
    assert.equal(
      typeOf(
        plan(dense, "Q8_0", [
          "tensors: [routed.down, dense.down], type: Q4_K",
          "tensors: shared, type: F16, optional: true",
        ]),
        "blk.0.ffn_down.weight",
      ),
      "Q4_K",
    );
  });

  test("gate and up of routed experts are found by rules and options for the fused tensor, and the other way round", () => {
    const fused = {
      ...narrow,
      tensors: narrow.tensors.flatMap(({ name, shape: [columns = 0, rows = 0, experts = 0], type }) => {
        const isGate = name.includes("ffn_gate_exps");
        const shape = [columns, 2 * rows, experts];
        return isGate
          ? [{ name: name.replace("gate", "gate_up"), shape, type }]
          : name.includes("ffn_up_exps")
            ? []
            : narrow.tensors.filter((tensor) => tensor.name === name);
      }),
    };
    const [one, two] = ["blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_up_exps.weight"];
    const option = (pattern: string) =>
      ({
        overrides: { tensorTypes: [{ pattern, type: "Q5_K" }] },
      }) as const;
    assert.equal(typeOf(plan(fused, "Q4_K_M", [], option("ffn_(gate|up)_exps")), one), "Q5_K");
    assert.equal(typeOf(plan(fused, "Q4_K_M", [], option("\\.ffn_up_exps\\.")), one), "Q5_K");
    assert.equal(typeOf(plan(narrow, "Q4_K_M", [], option("ffn_gate_up_exps")), two), "Q5_K");
    const rules = ["tensors: routed.up, type: Q3_K", "tensors: routed.down, type: Q6_K"];
    assert.equal(typeOf(plan(fused, "Q8_0", rules), one), "Q3_K");
    assert.equal(typeOf(plan(fused, "Q8_0", ["tensors: routed.gate_up, type: Q2_K", ...rules]), one), "Q2_K");
    assert.equal(typeOf(plan(narrow, "Q8_0", ["tensors: routed.gate_up, type: Q2_K"]), two), "Q2_K");
  });

  test("rules apply to a base that is no quantized type, and to COPY", () => {
    const bf16 = plan(mixtral, "BF16", ["tensors: routed, type: Q8_0"]);
    assert.equal(typeOf(bf16, "blk.0.attn_q.weight"), "BF16");
    assert.equal(typeOf(bf16, "blk.0.ffn_up_exps.weight"), "Q8_0");
    const copy = plan(mixtral, "COPY", ["tensors: routed, type: Q8_0"]);
    assert.equal(typeOf(copy, "blk.0.attn_q.weight"), "F16");
    assert.equal(typeOf(copy, "blk.0.ffn_up_exps.weight"), "Q8_0");
  });

  test("an option may decide all tensors of a rule", () => {
    const tensorTypes = [{ pattern: "output|token_embd", type: "Q8_0" }] as const;
    const options = { overrides: { tensorTypes } };
    const { tensors, warnings } = plan(
      mixtral,
      "Q4_K_M",
      ["tensors: [embedding, output], type: Q6_K"],
      options,
    );
    assert.deepEqual(warnings, []);
    assert.equal(tensors.find(({ name }) => name === "output.weight")?.to, "Q8_0");
  });

  test("a rule that earlier rules leave nothing is warned about", () => {
    assert.deepEqual(
      plan(mixtral, "Q8_0", ["tensors: routed, type: Q4_K", "tensors: routed.up, type: Q6_K"]).warnings,
      ["mine.yaml:5: rule 2 (routed.up) has no effect: earlier rules decide all its tensors."],
    );
    const tensorTypes = [
      { pattern: "attn", type: "Q8_0" },
      { pattern: "attn_v", type: "Q6_K" },
    ] as const;
    assert.deepEqual(plan(mixtral, "Q4_K_M", [], { overrides: { tensorTypes } }).warnings, [
      "`tensorType` attn_v=Q6_K has no effect: earlier options decide all its tensors.",
    ]);
  });
});

/** An oracle's types in the order of our plan; throws if a tensor is missing there. */
function sorted(types: Map<string, TypeName>, order: readonly { name: string }[]): [string, TypeName][] {
  assert.equal(types.size, order.length);
  return order.map(({ name }) => [name, types.get(name)!]);
}

describe("what matches nothing is refused", () => {
  const cases: readonly (readonly [rule: string, message: string])[] = [
    [
      "tensors: shared, type: Q8_0",
      "rule 1 (shared) matches no tensor of this model; its roles are attention.k, attention.output, attention.q, attention.v, embedding, output, routed.down, routed.gate, routed.up.",
    ],
    [
      "tensors: router, type: Q8_0",
      "rule 1 (router) matches only tensors that are never quantized: blk.0-31.ffn_gate_inp.weight; remove it.",
    ],
    [
      "tensors: routed.up, layers: 32-40, type: Q8_0",
      "rule 1 (routed.up, layers 32-40) matches no tensor of this model; such tensors are in layers 0 to 31.",
    ],
    [
      "tensors: output, layers: 3, type: Q8_0",
      "rule 1 (output, layers 3) matches no tensor of this model; such tensors are in no layer.",
    ],
    [
      "match: ffn_dwn_exps, type: Q8_0",
      "rule 1 (ffn_dwn_exps) matches no tensor of this model; did you mean ffn_down_exps or ffn_up_exps or ffn_gate_exps?",
    ],
    [
      "match: 'blk\\.32\\.attn_v\\.weight', type: Q8_0",
      "rule 1 (blk\\.32\\.attn_v\\.weight) matches no tensor of this model; did you mean blk.2.attn_v.weight or blk.3.attn_v.weight or blk.12.attn_v.weight?",
    ],
  ];
  for (const [rule, message] of cases) {
    test(message, () => {
      assert.equal(
        refusal(() => plan(mixtral, "Q4_K_M", [rule])),
        `mine.yaml:4: ${message}`,
      );
    });
  }

  test("an option that matches nothing", () => {
    const tensorTypes = [{ pattern: "attn_w", type: "Q8_0" }] as const;
    assert.equal(
      refusal(() => plan(mixtral, "Q4_K_M", [], { overrides: { tensorTypes } })),
      "`tensorType` attn_w=Q8_0 matches no tensor of this model; did you mean attn_k or attn_q or attn_v?",
    );
  });

  test("options that the base ignores, and options that contradict each other", () => {
    const tensorTypes = [{ pattern: "attn", type: "Q8_0" }] as const;
    assert.equal(
      refusal(() => plan(mixtral, "BF16", [], { overrides: { tensorTypes } })),
      "`tensorType` has no effect with base BF16, as in llama-quantize; choose a quantized base, or write a recipe with base BF16 and rules.",
    );
    assert.match(
      refusal(() => plan(mixtral, "COPY", [], { overrides: { outputTensorType: "Q8_0" } })),
      /^`outputTensorType` has no effect with base COPY/,
    );
    assert.match(
      refusal(() =>
        plan(mixtral, "Q8_0", [], { overrides: { outputTensorType: "F16", leaveOutputTensor: true } }),
      ),
      /contradict each other/,
    );
  });
});

describe("what cannot be had is refused before any work", () => {
  test("quantized sources without --allow-requantize, but copying them is fine", () => {
    const source = {
      ...mixtral,
      tensors: mixtral.tensors.map((tensor) => ({
        ...tensor,
        type: tensor.type === "F16" ? ("Q8_0" as const) : tensor.type,
      })),
    };
    assert.equal(
      refusal(() => plan(source, "Q8_0", ["tensors: output, type: Q6_K"])),
      "the source is quantized already (Q8_0): output.weight. Use the F16 or BF16 original for best quality, or allow it with `allowRequantize`.",
    );
    assert.equal(
      typeOf(
        plan(source, "Q8_0", ["tensors: output, type: Q6_K"], { overrides: { allowRequantize: true } }),
        "output.weight",
      ),
      "Q6_K",
    );
    assert.ok(plan(source, "Q8_0").tensors.every(({ from, to }) => from === to));
  });

  test("types that cannot be written, unless the source has them", () => {
    assert.equal(
      refusal(() => plan(mixtral, "Q8_0", ["tensors: routed.up, type: Q8_K"])),
      "Lopsided cannot write weights of type Q8_K: blk.0-31.ffn_up_exps.weight. Choose another type for them.",
    );
  });

  test("sources that cannot be read", () => {
    const source = {
      ...mixtral,
      tensors: mixtral.tensors.map((tensor) =>
        tensor.name === "output.weight" ? { ...tensor, type: "I32" as const } : tensor,
      ),
    };
    assert.equal(
      refusal(() => plan(source, "Q8_0")),
      "Lopsided cannot read weights of type I32: output.weight. Use a source of F32, F16, BF16 or Q8_0.",
    );
  });

  test("types of very few bits without importance", () => {
    const rules = ["tensors: [routed.gate, routed.up], type: IQ2_S"];
    assert.equal(
      refusal(() => plan(mixtral, "Q4_K_M", rules, { hasImportance: "none" })),
      'type IQ2_S needs an importance matrix: blk.0-31.ffn_gate_exps.weight, blk.0-31.ffn_up_exps.weight. Make one with "lopsided imatrix" and give it with `imatrix`, or choose types of more bits.',
    );
    assert.equal(
      refusal(() => plan(mixtral, "Q4_K_M", rules, { hasImportance: (name) => !name.startsWith("blk.7.") })),
      'type IQ2_S needs importance, but the importance matrix has no entry for blk.7.ffn_gate_exps.weight, blk.7.ffn_up_exps.weight. Calibrate this model with "lopsided imatrix", or choose types of more bits for them.',
    );
  });

  test("Q2_K needs importance in the mixture Q2_K_S only", () => {
    assert.match(
      refusal(() => plan(mixtral, "Q2_K_S", [], { hasImportance: "none" })),
      /^type Q2_K needs an importance matrix/,
    );
    assert.equal(typeOf(plan(mixtral, "Q2_K", [], { hasImportance: "none" }), "blk.0.attn_q.weight"), "Q2_K");
  });

  test("embedding and output are excused, except for types whose encoder needs importance", () => {
    const none = { hasImportance: "none" } as const;
    assert.equal(
      typeOf(plan(mixtral, "Q8_0", ["tensors: output, type: IQ2_S"], none), "output.weight"),
      "IQ2_S",
    );
    assert.equal(
      refusal(() => plan(mixtral, "Q8_0", ["tensors: [embedding, output], type: IQ2_XS"], none)),
      "type IQ2_XS needs importance, which is not measured for token_embd.weight, output.weight. Choose another type with `tokenEmbeddingType`, `outputTensorType` or a rule.",
    );
  });
});

describe("shapes that do not fit", () => {
  test("the replacement is planned, told apart and warned about once", () => {
    const { tensors, warnings } = plan(narrow, "Q8_0", ["tensors: routed.down, type: IQ3_S"]);
    const { to, fallbackFrom } = tensors.find(({ name }) => name === "blk.3.ffn_down_exps.weight")!;
    assert.deepEqual([to, fallbackFrom], ["IQ4_NL", "IQ3_S"]);
    assert.deepEqual(warnings, [
      "rows of 96 weights do not fill blocks of IQ3_S (256): IQ4_NL instead for blk.0-16.ffn_down_exps.weight.",
    ]);
  });

  test("embedding and output fall back too, where llama-quantize gives up", () => {
    const model = geometryOf("qwen2, rows of 96");
    const overrides = { tokenEmbeddingType: "Q6_K" } as const;
    assert.equal(typeOf(plan(model, "Q8_0", [], { overrides }), "token_embd.weight"), "Q8_0");
  });

  test("rows that fit no quantized type become F16", () => {
    assert.equal(typeOf(plan(geometryOf("qwen2, rows of 96"), "Q4_K_M"), "blk.0.ffn_down.weight"), "F16");
  });
});

describe("general.file_type", () => {
  test("is the mixture's number, even with options, as llama-quantize writes it", () => {
    const tensorTypes = [{ pattern: "exps", type: "Q8_0" }] as const;
    assert.equal(plan(mixtral, "Q4_K_M", [], { overrides: { tensorTypes } }).fileType, 15);
  });

  test("with rules is named after the type of most weights", async () => {
    assert.equal(plan(mixtral, "IQ3_S", ["tensors: [routed.gate, routed.up], type: IQ2_S"]).fileType, 28);
    assert.equal(plan(mixtral, "IQ3_S", ["tensors: output, type: Q8_0"]).fileType, 26);
  });

  test("is the source's when copying", () => {
    const metadata = new Map([
      ...mixtral.metadata,
      ["general.file_type", { type: "uint32", value: 7 }] as const,
    ]);
    assert.equal(plan({ ...mixtral, metadata }, "COPY").fileType, 7);
    assert.equal(plan(mixtral, "COPY").fileType, 1, "most weights are F16");
  });
});

test("`leaveOutputTensor` without output.weight is warned about", () => {
  assert.deepEqual(plan(tiedMoe, "Q8_0", [], { overrides: { leaveOutputTensor: true } }).warnings, [
    "`leaveOutputTensor` has no effect: the token embedding serves as output.",
  ]);
});
