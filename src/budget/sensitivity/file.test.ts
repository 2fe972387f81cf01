import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemorySource } from "../../bytes/source.js";
import { defaultSensitivity } from "./defaults.js";
import { readSensitivity, sensitivityFormat } from "./file.js";

const layers = (count: number, stems: readonly string[]) =>
  Array.from({ length: count }, (_, layer) => stems.map((stem) => `blk.${layer}.${stem}.weight`)).flat();

const read = (
  tensors: Readonly<Record<string, number>>,
  unmeasured: readonly string[],
  names: readonly string[],
) => {
  const file = {
    format: sensitivityFormat,
    tensors: Object.entries(tensors).map(([name, alpha]) => ({ name, alpha })),
    unmeasured,
  };
  const bytes = new TextEncoder().encode(JSON.stringify(file));
  return readSensitivity(new MemorySource("sensitivity.json", bytes), { fingerprints: undefined, names });
};

describe("a sensitivity file", () => {
  it("gives what was not measured the default by role and depth, in the proportion that was measured", async () => {
    const names = layers(3, ["attn_q", "ffn_down_exps", "ssm_out"]);
    const nextn = names.filter((name) => name.startsWith("blk.2."));
    const measured = Object.fromEntries(
      names
        .filter((name) => !nextn.includes(name) && !name.includes("ssm_out"))
        .map((name) => [name, name.includes("attn_q") ? 3 : 0.5]),
    );
    const { alphas } = await read(
      measured,
      names.filter((name) => !(name in measured)),
      names,
    );
    const defaults = defaultSensitivity(names).alphas;
    const of = (from: ReadonlyMap<string, number>, name: string) => from.get(name) ?? Number.NaN;
    const ratio = (stem: string) => of(alphas, `blk.2.${stem}.weight`) / of(defaults, `blk.2.${stem}.weight`);
    const before = (stem: string, alpha: number) =>
      (2 * alpha) / (of(defaults, `blk.0.${stem}.weight`) + of(defaults, `blk.1.${stem}.weight`));
    assert.ok(Math.abs(ratio("attn_q") - before("attn_q", 3)) < 1e-12);
    assert.ok(Math.abs(ratio("ffn_down_exps") - before("ffn_down_exps", 0.5)) < 1e-12);
    assert.ok(ratio("ssm_out") > ratio("ffn_down_exps") && ratio("ssm_out") < ratio("attn_q"));
    assert.equal(alphas.get("blk.0.attn_q.weight"), 3);
  });

  it("of separate gate and up holds for the fused tensor, and the other way round", async () => {
    const fused = "blk.0.ffn_gate_up_exps.weight";
    const [gate, up] = ["blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight"];
    assert.equal((await read({ [gate]: 1, [up]: 2 }, [], [fused])).alphas.get(fused), 3);
    const { alphas } = await read({ [fused]: 3 }, [], [gate, up]);
    assert.deepEqual([alphas.get(gate), alphas.get(up)], [1.5, 1.5]);
  });

  it("is refused if it does not know of a tensor", async () => {
    await assert.rejects(
      read({ "blk.0.attn_q.weight": 1 }, [], ["blk.0.attn_k.weight"]),
      /it has no blk\.0\.attn_k/,
    );
    await assert.rejects(read({}, [3 as unknown as string], []), /unmeasured tensor without name/);
  });
});
