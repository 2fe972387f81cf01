import assert from "node:assert/strict";
import { test } from "node:test";
import { Architecture } from "../model/architecture.js";
import { openModel } from "../model/open.js";
import { fixture } from "../testing/command.js";
import { fit } from "./fit.js";
import { cacheLayers, cacheSize } from "./kv-cache.js";
import { measureMemoryTable } from "./memory-table.js";

const model = fixture("tiny-moe-q8_0.gguf");

test("the table has every context up to the trained one, with each type of cache", async () => {
  const { rows, source } = await measureMemoryTable({ model });
  assert.equal(source, "formula");
  assert.deepEqual(
    rows.map(({ context, keyType }) => `${keyType} ${context}`),
    ["F16", "Q8_0", "Q4_0"].flatMap((type) =>
      [256, 512, 1024, 2048, 4096].map((context) => `${type} ${context}`),
    ),
  );
  const opened = await openModel(model);
  const layers = cacheLayers(new Architecture(opened.metadata));
  await opened.close();
  for (const { context, keyType, kvBytes } of rows) {
    const type = keyType as "F16";
    assert.equal(
      kvBytes,
      cacheSize(layers, { contextLength: context, keyType: type, valueType: type }).bytes,
    );
  }
});

test("a machine has a row exactly if fit says so", async () => {
  const { rows, machines } = await measureMemoryTable({ model });
  const row = rows.find(({ context, keyType }) => context === 4096 && keyType === "F16");
  for (const { name, availableBytes } of machines) {
    const result = await fit({ model, memory: name, ctx: 4096, library: false });
    assert.equal(row?.fits.includes(name), result.fits, name);
    assert.equal(availableBytes, result.availableBytes);
    assert.equal(row?.totalBytes, result.totalBytes);
  }
});
