import assert from "node:assert/strict";
import { cp, link, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { plan } from "../budget/plan.js";
import { sensitivity } from "../budget/sensitivity/measure.js";
import { commands as allCommands } from "../commands.js";
import { compare } from "../compare/compare.js";
import { placeholderOf } from "../contract/flags.js";
import type { Option } from "../contract/option.js";
import { generate } from "../corpus/generate.js";
import { perplexity } from "../evaluate/measure.js";
import { explore } from "../explore/explore.js";
import { imatrix } from "../imatrix/compute.js";
import { make } from "../make/make.js";
import { convert } from "../quantize/convert.js";
import { prune } from "../quantize/prune.js";
import { quantize } from "../quantize/quantize.js";
import { relayout } from "../quantize/relayout.js";
import { card, report } from "../report/write.js";
import { scales } from "../scales/scales.js";
import { check } from "../tasks/check.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

/** Paths by the name of the argument or option. */
type Paths = Readonly<Record<string, string>>;

interface Command {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly run: (paths: Paths) => Promise<unknown>;
}

const p = (paths: Paths, name: string) => paths[name] ?? "";

const commands: Readonly<Record<string, Command>> = {
  imatrix: {
    inputs: ["model", "text", "merge"],
    outputs: ["output", "moments", "activations"],
    run: (paths) =>
      imatrix({
        model: p(paths, "model"),
        text: p(paths, "text"),
        merge: [p(paths, "merge")],
        output: p(paths, "output"),
        moments: p(paths, "moments"),
        activations: p(paths, "activations"),
      }),
  },
  perplexity: {
    inputs: ["model", "text", "imatrix"],
    outputs: ["saveAllLogits", "checkpoint"],
    run: (paths) => perplexity({ model: "", text: "", ...paths }),
  },
  "perplexity with a reference": {
    inputs: ["reference"],
    outputs: ["checkpoint"],
    run: (paths) => perplexity({ model: originals.model!, text: [originals.text!], ...paths }),
  },
  "perplexity with a base": {
    inputs: ["klDivergenceBase"],
    outputs: ["checkpoint"],
    run: (paths) => perplexity({ model: originals.model!, text: [originals.text!], ...paths }),
  },
  compare: {
    inputs: ["source", "models", "texts", "imatrix"],
    outputs: ["markdown", "chart"],
    run: ({ source = "", models = "", texts = "", ...paths }) =>
      compare({ source, models: [models], texts: [texts], ...paths }),
  },
  plan: {
    inputs: ["model", "imatrix", "sensitivity", "moments"],
    outputs: ["output", "errors", "curves"],
    run: (paths) => plan({ model: "", output: "", ...paths, effort: "max", bpw: 4 }),
  },
  "plan with activations": {
    inputs: ["activations"],
    outputs: ["output", "errors", "curves"],
    run: ({ activations = "", ...paths }) =>
      plan({
        model: originals.model!,
        output: "",
        ...paths,
        activations: [activations],
        effort: "max",
        bpw: 4,
      }),
  },
  sensitivity: {
    inputs: ["model", "text", "imatrix", "quantized"],
    outputs: ["output"],
    run: (paths) => sensitivity({ model: "", text: "", output: "", ...paths }),
  },
  check: {
    inputs: ["model", "tasks", "reference"],
    outputs: ["output"],
    run: (paths) => check({ model: "", ...paths }),
  },
  generate: {
    inputs: ["model", "prompts"],
    outputs: ["output"],
    run: (paths) => generate({ model: "", prompts: "", output: "", ...paths }),
  },
  quantize: {
    inputs: ["model", "imatrix", "moments", "recipe", "tensorTypeFile"],
    outputs: ["output"],
    run: (paths) => quantize({ model: "", output: "", ...paths, effort: "max" }),
  },
  "quantize with activations": {
    inputs: ["activations"],
    outputs: ["output"],
    run: ({ activations = "", output = "" }) =>
      quantize({ model: originals.model!, output, activations: [activations], base: "Q4_0", effort: "max" }),
  },
  "quantize with calibration": {
    inputs: ["model", "calibration"],
    outputs: ["output", "imatrixOutput"],
    run: ({ model = "", output = "", ...paths }) =>
      quantize({ model, output, ...paths, base: "Q4_0", effort: "max" }),
  },
  prune: {
    inputs: ["model", "imatrix"],
    outputs: ["output", "imatrixOutput"],
    run: (paths) => prune({ model: "", output: "", imatrix: "", ...paths, experts: 8 }),
  },
  "quantize of a folder": {
    inputs: ["config.json", "tokenizer.json", "model.safetensors"],
    outputs: ["output"],
    run: ({ folder = "", output = "" }) => quantize({ model: folder, output, recipe: "Q4_0" }),
  },
  convert: {
    inputs: ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"],
    outputs: ["output"],
    run: ({ folder = "", output = "" }) => convert({ folder, output, type: "BF16" }),
  },
  scales: {
    inputs: ["model", "source", "calibration"],
    outputs: ["output"],
    run: ({ model = "", output = "", source = "", calibration = "" }) =>
      scales({ model, output, source, calibration }),
  },
  relayout: {
    inputs: ["model"],
    outputs: ["output"],
    run: ({ model = "", output = "" }) => relayout({ model, output }),
  },
};

const originals: Paths = {
  model: fixture("tiny-moe-q8_0.gguf"),
  source: fixture("tiny-moe-q8_0.gguf"),
  models: fixture("tiny-moe-q8_0.gguf"),
  reference: fixture("tiny-moe-q8_0.gguf"),
  text: fixture("text/calibration.txt"),
  texts: fixture("text/eval.txt"),
  calibration: fixture("text/calibration.txt"),
  klDivergenceBase: fixture("reference/types.json"),
  evaluate: fixture("text/eval.txt"),
  tasks: fixture("text/demo-tasks.jsonl"),
  prompts: fixture("text/demo-tasks.jsonl"),
  imatrix: fixture("reference/imatrix.gguf"),
  merge: fixture("reference/imatrix.dat"),
  recipe: fixture("../recipes/asym-2bit-experts.yaml"),
  tensorTypeFile: fixture("README.md"),
  sensitivity: fixture("evaluation.json"),
  moments: fixture("reference/types.json"),
  activations: fixture("reference/types.json"),
  curves: fixture("reference/types.json"),
  folder: fixture("tiny-moe"),
  quantized: fixture("tiny-moe-q8_0.gguf"),
};

/** The paths that are options of a command. */
function own(paths: Paths, { inputs, outputs }: Pick<Command, "inputs" | "outputs">): Paths {
  const names = [...inputs, ...outputs, ...(inputs.includes("config.json") ? ["folder"] : [])];
  return Object.fromEntries(Object.entries(paths).filter(([name]) => names.includes(name)));
}

/** Copies of all inputs. */
async function setUp(t: TestContext): Promise<{ folder: string; paths: Paths }> {
  const folder = await temporaryFolder(t);
  const paths: Record<string, string> = {};
  for (const [name, original] of Object.entries(originals)) {
    paths[name] = join(folder, name === "recipe" ? "recipe.yaml" : name);
    await cp(original, paths[name], { recursive: true });
  }
  for (const name of ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"]) {
    paths[name] = join(folder, "folder", name);
  }
  return { folder, paths };
}

describe("no output may be an input", () => {
  for (const [name, { inputs, outputs, run }] of Object.entries(commands)) {
    it(`of ${name}, by path, hard link and symbolic link`, async (t) => {
      const { folder, paths } = await setUp(t);
      const free = Object.fromEntries(outputs.map((output) => [output, join(folder, `new-${output}`)]));
      for (const input of inputs) {
        const original = paths[input]!;
        const before = await readFile(original);
        const aliases = [original, join(folder, `hard-${input}`), join(folder, `soft-${input}`)];
        await link(original, aliases[1]!);
        await symlink(original, aliases[2]!);
        for (const output of outputs) {
          for (const alias of aliases) {
            await assert.rejects(run(own({ ...paths, ...free, [output]: alias }, { inputs, outputs })), {
              name: "UsageError",
              message: /is read by this command|which is read by this command/,
            });
          }
        }
        assert.deepEqual(await readFile(original), before);
        await Promise.all(aliases.slice(1).map((alias) => rm(alias)));
      }
    });
  }

  it("nor may the unfinished work beside it", async (t) => {
    const { folder, paths } = await setUp(t);
    const output = join(folder, "new");
    for (const [name, option, suffixes] of [
      ["imatrix", "output", ["new.partial", "new.partial.new", "new.partial.stream"]],
      ["imatrix", "moments", ["new.new", "new.pass-0", "new.pass-0.new"]],
      ["perplexity", "checkpoint", ["new.stream-0"]],
      ["sensitivity", "output", ["new.partial"]],
      ["quantize", "output", [".new.partial", ".new.journal"]],
      ["relayout", "output", [".new.partial"]],
    ] as const) {
      const { inputs, outputs, run } = commands[name]!;
      const free = Object.fromEntries(outputs.map((other) => [other, join(folder, `free-${other}`)]));
      for (const suffix of suffixes) {
        const model = join(folder, suffix);
        await link(paths.model!, model);
        await assert.rejects(run(own({ ...paths, ...free, model, [option]: output }, { inputs, outputs })), {
          name: "UsageError",
          message:
            /is read by this command, which keeps unfinished work for .*new in .*; rename one of them\.$/,
        });
        await rm(model);
      }
    }
  });

  for (const [name, { inputs, outputs, run }] of Object.entries(commands)) {
    const [first, second] = outputs;
    if (first !== undefined && second !== undefined) {
      it(`and the two of ${name} may not be one file`, async (t) => {
        const { folder, paths } = await setUp(t);
        await mkdir(join(folder, "sub"));
        const options = { [first]: join(folder, "new"), [second]: join(folder, "sub", "..", "new") };
        await assert.rejects(run(own({ ...paths, ...options }, { inputs, outputs })), {
          name: "UsageError",
          message: /two results of this command would be written to it/,
        });
      });
    }
  }

  it("of make: what its folder holds already", async (t) => {
    const { folder, paths } = await setUp(t);
    const made = join(folder, "made");
    await mkdir(made);
    const inputs = {
      model: "imatrix.gguf",
      calibration: "README.md",
      evaluate: "report.html",
      tasks: "evaluation.json",
      recipe: "recipe.yaml",
    };
    const given = {
      model: paths.model!,
      calibration: paths.text!,
      evaluate: paths.evaluate!,
      baseline: "none",
    };
    for (const [option, name] of Object.entries(inputs)) {
      const path = join(made, name);
      await cp(paths[option === "calibration" ? "text" : option]!, path);
      const before = await readFile(path);
      await assert.rejects(make({ ...given, [option]: path, output: made }), {
        name: "UsageError",
        message: /is read by this command/,
      });
      assert.deepEqual(await readFile(path), before);
      await rm(path);
    }
    await mkdir(join(made, ".lopsided"));
    const inside = join(made, ".lopsided", "text");
    await cp(paths.text!, inside);
    await assert.rejects(make({ ...given, calibration: inside, output: made }), {
      name: "UsageError",
      message: /where files come and go with the work/,
    });
  });

  it("of explore: what it reads from the folder of its page", async (t) => {
    const { folder, paths } = await setUp(t);
    const page = join(folder, "index.html");
    for (const option of ["model", "imatrix", "sensitivity", "curves"] as const) {
      await link(paths[option]!, page);
      await assert.rejects(explore({ model: paths.model!, [option]: page, output: folder }), {
        name: "UsageError",
        message: /is read by this command/,
      });
      await rm(page);
    }
  });

  it("of perplexity and compare: an importance matrix that is found beside the model", async (t) => {
    const { folder, paths } = await setUp(t);
    const imatrixPath = join(folder, "own.gguf");
    const text = paths.text!;
    await imatrix({ model: paths.model!, text, output: imatrixPath, chunks: 1, ctx: 64, threads: 1 });
    const model = join(folder, "quantized.gguf");
    const options = { base: "Q4_0", allowRequantize: true, threads: 1 };
    await quantize({ model: paths.model!, output: model, imatrix: imatrixPath, ...options });
    const before = await readFile(imatrixPath);
    const wrong = { name: "UsageError", message: /own\.gguf: is read by this command/ };
    const limits = { chunks: 1, ctx: 64, threads: 1 };
    const texts = [paths.evaluate!];
    await assert.rejects(perplexity({ model, text: texts, saveAllLogits: imatrixPath, ...limits }), wrong);
    const compared = { source: paths.model!, models: [model], texts, chart: imatrixPath, ...limits };
    await assert.rejects(compare(compared), wrong);
    assert.deepEqual(await readFile(imatrixPath), before);
  });

  it("and no command that names files is missing here", () => {
    const elsewhere: Readonly<Record<string, readonly string[]>> = {
      convert: ["folder"],
      explore: ["model", "output", "sensitivity", "curves", "imatrix"],
      make: ["model", "output", "calibration", "recipe", "evaluate", "baseline", "tasks"],
      card: ["folder"],
      report: ["folder"],
      // Only writes what it made itself.
      demo: ["output"],
    };
    const writesNothing = ["inspect", "verify", "fit", "publish", "chat", "serve", "worker", "queue"];
    // Texts that are no files, and a folder of files with names of their own, which are hashes.
    const noFiles = ["includeWeights", "excludeWeights", "systemPrompt", "cache", "threads"];
    for (const { command } of allCommands) {
      const cases = Object.entries(commands).filter(([name]) => name.split(" ")[0] === command.name);
      const known = cases.flatMap(([, { inputs, outputs }]) => [...inputs, ...outputs]);
      known.push(...(elsewhere[command.name] ?? []), ...noFiles);
      const named = Object.entries<Option>(command.options)
        .filter(([, { isHidden }]) => !isHidden)
        .filter(([, row]) => row.isArgument || /file|folder|model|text/.test(placeholderOf(row) ?? ""))
        .map(([name]) => name);
      if (!writesNothing.includes(command.name)) {
        assert.deepEqual(
          named.filter((name) => !known.includes(name)),
          [],
          command.name,
        );
      }
    }
  });

  it("of card and report", async (t) => {
    const folder = await temporaryFolder(t);
    await cp(fixture("evaluation.json"), join(folder, "evaluation.json"));
    for (const [name, write] of [
      ["README.md", card],
      ["report.html", report],
    ] as const) {
      await link(join(folder, "evaluation.json"), join(folder, name));
      await assert.rejects(write({ folder }), {
        name: "UsageError",
        message: /which is read by this command/,
      });
    }
  });

  it("and the command line says it in one sentence", async (t) => {
    const { paths } = await setUp(t);
    const { status, stderr } = await lopsided(["imatrix", paths.model!, paths.text!, "-o", paths.model!]);
    assert.equal(status, 2);
    assert.match(stderr, /^lopsided: .*model: is read by this command.*\n$/);
  });
});
