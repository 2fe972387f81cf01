import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySource } from "../bytes/source.js";
import type { TypeName } from "../quants/types.js";
import { type CurvesFile, readCurves, renderCurves } from "./curves-file.js";

const name = "blk.0.ffn_down_exps.weight";
const file: CurvesFile = {
  version: "1.0.0",
  model: "/somewhere/model.gguf",
  imatrix: "/somewhere/imatrix.gguf",
  effort: "default",
  fingerprint: "f",
  curves: new Map([
    [
      name,
      new Map<TypeName, number>([
        ["Q8_0", 0],
        ["Q4_K", 0.004],
      ]),
    ],
  ]),
};

function read(text: string, model = { fingerprints: ["f"], names: [name] }) {
  return readCurves(new MemorySource("curves.json", Buffer.from(text)), model);
}

test("curves are read as they were written, and say nothing of where files lay", async () => {
  const text = renderCurves(file);
  assert.deepEqual(await read(text), file.curves);
  assert.ok(!text.includes("somewhere"));
});

test("what is damaged or of another model is refused with the reason", async () => {
  const damaged = (change: (plain: Record<string, unknown>) => void) => {
    const plain = JSON.parse(renderCurves(file)) as Record<string, unknown>;
    change(plain);
    return read(JSON.stringify(plain));
  };
  const tensors = (errors: unknown) => [{ name, errors }];
  for (const [refused, message] of [
    [read("[]"), /is not a file of error curves; write it with "lopsided plan --curves"/],
    [
      damaged((plain) => {
        plain.tensors = [];
      }),
      /has no list of tensors/,
    ],
    [
      damaged((plain) => {
        plain.tensors = [1];
      }),
      /has a tensor without name or errors/,
    ],
    [
      damaged((plain) => {
        plain.tensors = [...tensors({}), ...tensors({})];
      }),
      /has blk\.0\S+ twice/,
    ],
    [
      damaged((plain) => {
        plain.tensors = tensors({ Q4_X: 1 });
      }),
      /is of no type or no number/,
    ],
    [
      damaged((plain) => {
        plain.tensors = tensors({ Q4_K: -1 });
      }),
      /is of no type or no number/,
    ],
    [
      read(renderCurves(file), { fingerprints: ["g"], names: [name] }),
      /another model \(its tensors have other weights\)/,
    ],
    [
      read(renderCurves(file), { fingerprints: ["f"], names: ["x"] }),
      /another model \(the model has no blk\.0/,
    ],
  ] as const) {
    await assert.rejects(refused, message);
  }
});
