/** Commands that have no test file of their own, run as a user runs them, to what they print. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fixture, lopsided, startLopsided } from "../testing/command.js";
import { TestRedis, withoutRedis } from "../testing/redis.js";
import { temporaryFolder } from "../testing/temporary.js";

const model = fixture("tiny-moe-q8_0.gguf");
const calibration = fixture("text/calibration.txt");
const text = fixture("text/eval.txt");

test("make prints what is in the model, how it compares on each text, and where it is", async (t) => {
  const output = join(await temporaryFolder(t), "made");
  const args = [
    ...[
      "make",
      model,
      "-o",
      output,
      "--calibration",
      calibration,
      "--chunks",
      "2",
      "--ctx-calibration",
      "32",
    ],
    ...["--evaluate", `one=${text}`, "--evaluate", `two=${calibration}`, "--evaluate-chunks", "2"],
    ...["--ctx-evaluate", "32", "--no-check", "--no-explorer", "-t", "1"],
  ];
  const { status, stdout, stderr } = await lopsided(args);
  assert.equal(status, 0, stderr);
  const tables = stdout.split("\n\n").map((table) => table.split("\n").map((line) => line.split(/ {2,}/)));
  assert.deepEqual(tables[0]?.[0], ["tensors", "type", "bits", "count", "weights", "size"]);
  const [head, source, baseline, made] = tables[2] ?? [];
  assert.deepEqual(head, ["model", "bpw", "bytes", "PPL", "difference", "KLD", "top-1"]);
  assert.deepEqual([source?.[0], baseline?.[0], made?.[0]], ["source", "Q4_K_M", "asym-IQ2_S"]);
  assert.match(made?.[5] ?? "", /^0\.\d{5} ± 0\.\d{5}$/);
  const byText = tables.find(([first]) => first?.[0] === "KLD by text");
  assert.deepEqual(byText?.[0], ["KLD by text", "tokens", "asym-IQ2_S", "Q4_K_M", "difference, 95 %"]);
  assert.deepEqual(
    byText?.slice(1).map(([name = ""]) => name.replace(" (worst)", "")),
    ["one", "two"],
  );
  assert.match(stdout, /Everything is in .*made; [\d.:]+( s)? in all\.\n$/);
  assert.match(stderr, /^quantize: done in [\d.:]+( s)?$/m);
});

test("sensitivity prints each role, and writes what plan reads", async (t) => {
  const folder = await temporaryFolder(t);
  const output = join(folder, "sensitivity.json");
  const args = ["sensitivity", model, text, "-o", output, "--chunks", "1", "--ctx", "32", "-t", "1"];
  const { status, stdout, stderr } = await lopsided(args);
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    /^KL divergence in nats for each unit of relative error\nrole +tensors +all together +least +most\n/,
  );
  assert.match(stdout, /^routed\.down +4 +[\d.e-]+ +[\d.e-]+ +[\d.e-]+$/m);
  assert.ok(JSON.parse(await readFile(output, "utf8")).tensors.length > 0);
  const recipe = join(folder, "recipe.yaml");
  const planned = await lopsided([
    "plan",
    model,
    "-o",
    recipe,
    "--bpw",
    "5",
    "--sensitivity",
    output,
    "-t",
    "1",
  ]);
  assert.equal(planned.status, 0, planned.stderr);
  assert.match(planned.stdout, /sensitivity: .*sensitivity\.json, errors: measured\n/);
});

test("demo stops on Ctrl-C, and says how it goes on", async (t) => {
  const output = join(await temporaryFolder(t), "demo");
  const { status, stderr } = await lopsided(["demo", "-o", output, "-t", "1"], {
    signal: "SIGINT",
    when: () => existsSync(join(output, "imatrix.gguf")),
  });
  assert.equal(status, 130);
  assert.match(stderr, /^source: done in /);
  assert.match(
    stderr,
    /\nlopsided: stopped; what is done is kept, and the same command goes on from there\.\n$/,
  );
});

test("queue lists the workers that are there", { skip: withoutRedis }, async (t) => {
  const redis = await TestRedis.start(await temporaryFolder(t));
  t.after(() => redis.close());
  const none = await lopsided(["queue", redis.url]);
  assert.equal(none.status, 0, none.stderr);
  assert.match(none.stdout, /\n\nno coordinators\n\nno workers\n\nno jobs\n$/);
  const worker = startLopsided(["worker", "--queue", redis.url, "--token", "only-of-this-test", "-t", "1"]);
  t.after(async () => {
    worker.kill("SIGKILL");
    await (worker.exitCode ?? worker.signalCode ?? once(worker, "exit"));
  });
  await once(worker.stdout, "data");
  const { stdout } = await lopsided(["queue", redis.url]);
  assert.match(stdout, /\nworker +version +threads +jobs +weights +for\n\S+:\d+ +\S+ +1 +0 /);
});
