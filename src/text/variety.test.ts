import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fixture } from "../testing/command.js";
import { varietyOf, varietyWarning } from "./variety.js";

const calibration = await readFile(fixture("text/calibration.txt"));

test("chat tasks from templates are called a text of one kind", async () => {
  assert.match(varietyWarning(calibration) ?? "", /seems to be of one kind: .* 0\.0\d\d nats/);
  assert.match(varietyWarning(await readFile(fixture("text/eval.txt"))) ?? "", /of one kind/);
});

test("chat, prose and code together are not", async () => {
  const others = ["../README.md", "../ARCHITECTURE.md", "../scripts/build.mjs", "../src/imatrix/compute.ts"];
  const texts = await Promise.all(others.map((name) => readFile(fixture(name))));
  assert.equal(varietyWarning(Buffer.concat([...texts, calibration])), undefined);
});

test("variety is the information that a part gives about its characters", () => {
  const halves = Buffer.concat([Buffer.alloc(16 * 4096, "a"), Buffer.alloc(16 * 4096, "b")]);
  assert.ok(Math.abs((varietyOf(halves) ?? 0) - Math.log(2)) < 1e-9);
  assert.equal(varietyOf(Buffer.alloc(16 * 4096, "a")), 0);
  assert.equal(varietyOf(Buffer.alloc(4096, "a")), undefined);
});
