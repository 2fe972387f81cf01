import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gguf, parseGGUFQuantLabel } from "@huggingface/gguf";
import { fixture, lopsided } from "../testing/command.js";
import { FileServer, sha256 } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import type { MakeResult } from "./make.js";
import type { PublishResult } from "./publish.js";

const calibration = ["--calibration", fixture("text/calibration.txt"), "--parse-special"];
// As short as it can be: the page of all sizes takes as long as all the rest.
const few = [
  ...["--no-explorer", "--chunks", "4", "--ctx-calibration", "64", "--threads", "1"],
  "--no-check",
];
const evaluation = [
  ...["--evaluate", fixture("text/eval.txt"), "--evaluate", `tasks=${fixture("text/calibration.txt")}`],
  ...["--evaluate-chunks", "2", "--ctx-evaluate", "64"],
];

function make(folder: string, args: readonly string[], interruption?: Parameters<typeof lopsided>[1]) {
  const source = fixture("tiny-moe-q8_0.gguf");
  const measured = args.includes("--evaluate") ? args : [...args, "--no-evaluate"];
  return lopsided(
    ["make", source, "-o", folder, ...calibration, ...few, ...measured, "--json"],
    interruption,
  );
}

async function madeWith(folder: string, args: readonly string[]): Promise<MakeResult> {
  const outcome = await make(folder, args);
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as MakeResult;
}

/** SHA-256 of the files whose bytes must not depend on how often a run was interrupted. */
async function checksums(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter((name) => /\.(gguf|dat|yaml)$/.test(name)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, sha256(await readFile(join(folder, name)))] as const)),
  );
}

describe("lopsided make", () => {
  let parent: string;
  let folder: string;
  let first: MakeResult;
  /** Of the files of a run that nothing interrupted. */
  let whole: Record<string, string>;
  before(async () => {
    parent = await mkdtemp(join(tmpdir(), "lopsided-make-"));
    folder = join(parent, "out");
    first = await madeWith(folder, evaluation);
    whole = await checksums(folder);
  });
  after(() => rm(parent, { recursive: true, force: true }));

  it("leaves a folder to publish, and does only what changed options make necessary", async () => {
    assert.equal(first.model, join(folder, "tiny-moe-asym-IQ2_S.gguf"));
    assert.equal(parseGGUFQuantLabel(first.model), "IQ2_S");
    const { metadata, tensorInfos } = await gguf(first.model, { allowLocalFile: true });
    assert.equal(Reflect.get(metadata, "quantize.imatrix.file"), "imatrix.gguf");
    assert.equal(Reflect.get(metadata, "quantize.imatrix.dataset"), "calibration.txt");
    assert.equal(tensorInfos.length, first.quantize.tensors.length);
    assert.deepEqual((await readdir(folder)).filter((name) => !name.startsWith(".")).sort(), [
      "README.md",
      "evaluation.json",
      "imatrix.dat",
      "imatrix.gguf",
      "recipe.yaml",
      "report.html",
      "tiny-moe-asym-IQ2_S.gguf",
    ]);
    // Where the files lay on this disk is nobody's business.
    for (const name of (await readdir(folder)).filter((file) => !file.startsWith("."))) {
      const bytes = await readFile(join(folder, name));
      for (const place of [dirname(folder), fixture("")]) {
        assert.ok(!bytes.includes(place), `${name} names ${place}`);
      }
    }
    const { model, baseline } = first.evaluate!;
    assert.ok(model.bytes < baseline!.bytes && model.evaluation.kld!.mean > 0);
    assert.deepEqual(
      baseline!.evaluation.texts.map(({ name, perChunk }) => [name, perChunk.length]),
      [
        ["eval.txt", 2],
        ["tasks", 2],
      ],
    );
    assert.match(await readFile(join(folder, "README.md"), "utf8"), /By kind of text[\s\S]*\(worst/);
    assert.ok(!existsSync(join(folder, ".lopsided", "baseline-Q4_K_M.gguf")));
    const planned = await lopsided(["publish", folder, "hf://some-one/tiny", "--dry-run", "--json"]);
    const { files } = JSON.parse(planned.stdout) as PublishResult;
    assert.deepEqual(
      files.map(({ path }) => path),
      (await readdir(folder)).filter((name) => !name.startsWith(".")).sort(),
    );

    const again = await madeWith(folder, evaluation);
    const { skipped: all, seconds: _, ...rest } = again;
    const { skipped: none, seconds: __, ...before } = first;
    assert.deepEqual(none, []);
    assert.deepEqual(rest, before);
    assert.deepEqual(all, [
      "source",
      "imatrix",
      "recipe",
      "quantize",
      "verify",
      "evaluate",
      "baseline",
      "memory",
      "record",
      "card",
      "report",
    ]);

    const evaluatedAnew = await madeWith(folder, [
      ...evaluation,
      "--baseline",
      "none",
      "--ctx-evaluate",
      "32",
    ]);
    assert.deepEqual(evaluatedAnew.skipped, ["source", "imatrix", "recipe", "quantize", "verify", "memory"]);
    assert.equal(evaluatedAnew.evaluate?.baseline, undefined);
    assert.deepEqual(await checksums(folder), whole);

    const leftovers = [".tiny-moe-asym-Q2_K.gguf.partial", ".lopsided/baseline-Q5_K_M.gguf"];
    for (const file of leftovers) {
      await writeFile(join(folder, file), "of a run with other options");
    }
    const other = await madeWith(folder, ["--recipe", "Q4_K_M"]);
    for (const file of leftovers) {
      assert.ok(!existsSync(join(folder, file)), file);
    }
    assert.deepEqual(other.skipped, ["source", "imatrix"]);
    assert.equal(other.model, join(folder, "tiny-moe-Q4_K_M.gguf"));
    assert.ok(!existsSync(first.model));
  });

  it("gives tasks to the model, its source and the baseline, and keeps a card that was edited", async (t) => {
    const folder = await temporaryFolder(t);
    const [made, tasks] = [join(folder, "made"), join(folder, "tasks.jsonl")];
    await writeFile(tasks, '{"kind":"arithmetic","prompt":"What is 3 * 8?","answer":24,"maxTokens":8}\n');
    const args = ["make", fixture("tiny-moe-q8_0.gguf"), "-o", made, ...calibration, ...few.slice(0, -1)];
    args.push(...evaluation, "--tasks", tasks, "--json");
    const first = JSON.parse((await lopsided(args)).stdout) as MakeResult;
    for (const { taskSet, tasks } of [
      first.check!.model,
      first.check!.source!,
      first.evaluate!.baseline!.tasks!,
    ]) {
      assert.equal(taskSet.name, "tasks.jsonl");
      assert.equal(tasks.length, 1);
    }
    const card = join(made, "README.md");
    assert.match(await readFile(card, "utf8"), /\| arithmetic \|/);

    // As after a kill between the card and the note of it.
    const state = join(made, ".lopsided", "state.json");
    const noted = JSON.parse(await readFile(state, "utf8"));
    delete noted.stages.card;
    await writeFile(state, JSON.stringify(noted));
    await lopsided(args);
    assert.ok(!existsSync(join(made, "README.edited.md")), "a card of ours is not an edited one");

    await appendFile(card, "\nmine\n");
    const again = JSON.parse((await lopsided(args)).stdout) as MakeResult;
    assert.ok(again.skipped.includes("card") && !again.skipped.includes("baseline model"));
    assert.match(await readFile(card, "utf8"), /\nmine\n$/);
    await lopsided([...args, "--quantized-by", "somebody"]);
    assert.match(await readFile(join(made, "README.edited.md"), "utf8"), /\nmine\n$/);
    assert.match(await readFile(card, "utf8"), /quantized_by: somebody/);
  });

  it("goes on after kills, and a folder made in one go has the same bytes", async (t) => {
    const killed = join(await temporaryFolder(t), "killed");
    const stopped = await make(killed, [], {
      signal: "SIGINT",
      when: () => existsSync(join(killed, ".lopsided", "state.json")),
    });
    assert.equal(stopped.status, 130);
    assert.match(stopped.stderr, /stopped.*; what is done is kept, and the same command goes on from there/);
    for (const file of ["imatrix.gguf", ".tiny-moe-asym-IQ2_S.gguf.partial"]) {
      const when = () => existsSync(join(killed, file));
      assert.equal((await make(killed, [], { signal: "SIGKILL", when })).status, null, file);
    }
    const resumed = await madeWith(killed, []);
    assert.ok(resumed.skipped.includes("imatrix"));
    assert.deepEqual(await checksums(killed), whole);
  });

  it("converts a Hugging Face folder for llama.cpp, and quantizes the folder itself within a budget", async (t) => {
    const folder = join(await temporaryFolder(t), "out");
    const args = ["make", fixture("tiny-moe"), "-o", folder, ...calibration, ...few, "--name", "tiny"];
    args.push("--no-evaluate", "--size", "6MB", "--effort", "fast", "--no-sensitivity");
    const outcome = await lopsided([...args, "--json"]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.stderr, /is converted to .*tiny-BF16\.gguf/);
    const { quantize, source, plan } = JSON.parse(outcome.stdout) as MakeResult;
    assert.match(quantize.output, /tiny-planned-[IQ0-9A-Z_]+\.gguf$/);
    assert.ok(quantize.bytes <= 6e6 && quantize.bytes === plan?.bytes);
    assert.equal(source.runnable, join(folder, ".lopsided", "tiny-BF16.gguf"));
  });

  it("downloads a remote model once, and tells nobody what follows the question mark of its address", async (t) => {
    const folder = join(await temporaryFolder(t), "out");
    const file = await readFile(fixture("tiny-moe-q8_0.gguf"));
    const server = await FileServer.start(t, { "/tiny-moe-Q8_0.gguf": file });
    const address = `${server.address}/tiny-moe-Q8_0.gguf`;
    const args = [
      "make",
      `${address}?token=secret`,
      "-o",
      folder,
      ...calibration,
      ...few,
      "--no-evaluate",
      "--recipe",
      "Q8_0",
    ];
    for (const status of [0, 0]) {
      assert.equal((await lopsided(args)).status, status);
    }
    assert.ok(server.bytesSent < 1.2 * file.byteLength);
    const evaluation = await readFile(join(folder, "evaluation.json"), "utf8");
    assert.equal(JSON.parse(evaluation).source.given, address);
    for (const name of ["evaluation.json", "README.md", "report.html", ".lopsided/state.json"]) {
      assert.ok(!(await readFile(join(folder, name), "utf8")).includes("secret"), name);
    }
  });

  it("drops experts where a budget has no room for all of them, and says so on card and report", async (t) => {
    const folder = join(await temporaryFolder(t), "out");
    const options = ["--size", "2.8MB", "--no-sensitivity", "--prune", "12", "--baseline", "none"];
    const { quantize, plan } = await madeWith(folder, [...options, "--effort", "fast"]);
    assert.ok(quantize.bytes <= 2_800_000);
    assert.equal(quantize.bytes, plan?.bytes);
    assert.deepEqual([quantize.experts?.count?.before, quantize.experts?.count?.after], [16, 12]);
    for (const name of ["README.md", "report.html"]) {
      assert.match(await readFile(join(folder, name), "utf8"), /12 of the 16 experts of each layer are kept/);
    }
    assert.match(await readFile(join(folder, "recipe.yaml"), "utf8"), /^keepExperts: 12$/m);
    const again = await madeWith(folder, [...options, "--effort", "fast"]);
    assert.ok(again.skipped.includes("plan") && again.skipped.includes("quantize"));
  });

  it("refuses what contradicts itself before any work", async (t) => {
    const folder = join(await temporaryFolder(t), "out");
    for (const [args, message] of [
      [["--recipe", "Q4_K_M", "--bpw", "3"], /--recipe and a budget .* both choose the types; use one/],
      [["--ctx", "4096"], /--ctx is the context that --memory makes room for/],
      [["--evaluate", "missing.txt"], /missing\.txt: cannot be read/],
      [[...evaluation, "--baseline", "Q4_K_X"], /"Q4_K_X" is not a mixture or a type/],
    ] as const) {
      const outcome = await make(folder, args);
      assert.match(outcome.stderr, message);
      assert.notEqual(outcome.status, 0);
    }
    assert.ok(!existsSync(folder));
  });
});
